import { route } from '@react-router/dev/routes';

export default [route('api/notion', 'routes/notion.jsx')];
