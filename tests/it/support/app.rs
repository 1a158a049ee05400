//! A whole server in the test's process: own database, real listeners, a development instance with its keys.

use super::browser::{Answer, Browser, Ports};
use super::processes::Processes;
use super::{Forwarder, TestDb, invariants};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use vestibule::actions;
use vestibule::actions::instance::{self, NewInstance};
use vestibule::app::App;
use vestibule::config::{Config, Listen};
use vestibule::context::Ctx;
use vestibule::crypto::password::Cost;
use vestibule::crypto::{ExposeSecret, KeyRing, RingEntry, Secret, SystemRng};
use vestibule::http::router;
use vestibule::jobs::{self, Jobs};
use vestibule::model::id::{InstanceId, RequestId};
use vestibule::model::random::Rng;
use vestibule::model::request::Origin;
use vestibule::model::time::Timestamp;
use vestibule::server::{Caps, Server, bind};
use vestibule::store::audit::Actor;
use vestibule::store::{directory, instances, pool, schema};
use vestibule::upstream::catalogue::Catalogue;

/// One or more replicas over one database, with the development instance `dev`. When it is dropped without a panic, the
/// database's invariants are checked.
pub struct TestApp {
    /// The database.
    pub db: TestDb,
    /// The replicas' shared parts, the first one's first.
    pub apps: Vec<Arc<App>>,
    /// The instance.
    pub instance: InstanceId,
    /// Its secret key.
    pub secret_key: String,
    /// Its publishable key.
    pub publishable_key: String,
    servers: Vec<Server>,
    processes: Option<Processes>,
    addresses: AtomicU32,
    jobs: Vec<Jobs>,
    ring: Vec<RingEntry>,
    config: Config,
    origin_port: u16,
    reachable: Arc<Ports>,
}

impl TestApp {
    /// One replica.
    pub async fn start() -> Self {
        Self::replicas(1).await
    }

    /// So many replicas, each with its own pool, caches and listener. Browsers of [`Self::browser`] take turns.
    pub async fn replicas(count: usize) -> Self {
        Self::with(count, |_| {}).await
    }

    /// Replicas with other settings than the tests' usual ones.
    pub async fn with(count: usize, change: impl FnOnce(&mut Config)) -> Self {
        Self::assembled(TestDb::new().await, count, change, |_| {}).await
    }

    /// One replica that knows the providers of these files, in place of those that are compiled in.
    pub async fn knowing(files: &[&str]) -> Self {
        Self::assembled(TestDb::new().await, 1, |_| {}, |app| app.catalogue = Catalogue::of(files).unwrap()).await
    }

    /// One replica with a source of randomness of the test's own.
    pub async fn with_rng(rng: Arc<dyn Rng>) -> Self {
        Self::assembled(TestDb::new().await, 1, |_| {}, |app| app.rng = Arc::clone(&rng)).await
    }

    /// One replica that reaches its database through `forwarder`.
    pub async fn by_way_of(forwarder: &Forwarder, change: impl FnOnce(&mut Config)) -> Self {
        Self::assembled(TestDb::new().await.by_way_of(forwarder), 1, change, |_| {}).await
    }

    async fn assembled(db: TestDb, count: usize, change: impl FnOnce(&mut Config), alter: impl Fn(&mut App)) -> Self {
        super::cost::listen();
        let ring = vec![RingEntry::generate(&SystemRng)];
        let mut config = config();
        change(&mut config);
        let mut bounds = Vec::new();
        for _ in 0..count {
            bounds.push(bind(&config.server.listen).await.unwrap());
        }
        let mut apps = Vec::new();
        for _ in 0..count {
            let mut app = build(&db, &ring, &config).await;
            alter(Arc::get_mut(&mut app).unwrap());
            apps.push(app);
        }
        let new = NewInstance::on_localhost("dev", bounds[0].port()).unwrap();
        let created = instance::create(&apps[0], &new, Actor::System).await.unwrap();
        let caps = Caps::from(&config.server);
        let servers = std::iter::zip(bounds, &apps)
            .map(|(bound, app)| Server::start(bound, router::service(Arc::clone(app)), caps.clone()))
            .collect::<Vec<_>>();
        let ports: Vec<u16> = servers.iter().map(Server::port).collect();
        Self {
            db,
            apps,
            jobs: Vec::new(),
            config,
            origin_port: ports[0],
            reachable: Ports::new(ports),
            instance: created.id,
            secret_key: created.secret_key.expose_secret().to_owned(),
            publishable_key: created.publishable_key,
            servers,
            processes: None,
            addresses: AtomicU32::new(0),
            ring,
        }
    }

    /// So many server processes of their own, which can be killed; [`Self::app`] is one more replica in this process
    /// that serves nobody. Every browser comes from another address, for these count limits as they are.
    pub async fn processes(count: usize) -> Self {
        Self::processes_with(count, &[]).await
    }

    /// The same with further variables.
    pub async fn processes_with(count: usize, settings: &[(&str, &str)]) -> Self {
        let (db, ring, config) = (TestDb::new().await, RingEntry::generate(&SystemRng), config());
        let app = build(&db, std::slice::from_ref(&ring), &config).await;
        let processes = Processes::over(count, &db.url(), ring.to_setting().expose_secret(), settings);
        let ports = processes.ports();
        let new = NewInstance::on_localhost("dev", ports[0]).unwrap();
        let created = instance::create(&app, &new, Actor::System).await.unwrap();
        processes.start_all().await;
        Self {
            db,
            apps: vec![app],
            jobs: Vec::new(),
            config,
            origin_port: ports[0],
            reachable: Ports::new(ports),
            instance: created.id,
            secret_key: created.secret_key.expose_secret().to_owned(),
            publishable_key: created.publishable_key,
            servers: Vec::new(),
            processes: Some(processes),
            addresses: AtomicU32::new(0),
            ring: vec![ring],
        }
    }

    /// Ends one of [`Self::processes`] by SIGKILL.
    pub fn kill(&self, at: usize) {
        self.processes.as_ref().expect("processes").kill(at);
    }

    /// Ends one of [`Self::processes`] as an operator does: it finishes what it has.
    pub async fn terminate(&self, at: usize) {
        self.processes.as_ref().expect("processes").terminate(at).await;
    }

    /// From now on the replicas finish what they have.
    pub fn drain(&self) {
        self.apps.iter().for_each(|app| app.drain());
        self.servers.iter().for_each(Server::drain);
    }

    /// Starts a killed one again, and waits until it listens.
    pub async fn restart(&self, at: usize) {
        self.processes.as_ref().expect("processes").start(at).await;
    }

    /// Ends the replicas' background work after what it has in hand: each task has had its turn once.
    pub async fn stop_jobs(&mut self) {
        for jobs in std::mem::take(&mut self.jobs) {
            jobs.stop().await;
        }
    }

    /// Starts the replicas' background work.
    pub fn start_jobs(&mut self) {
        self.jobs = self.apps.iter().map(|app| jobs::start(app, self.db.route())).collect();
    }

    /// One replica over a database that holds an installation, which is brought to the newest schema first. The clock of
    /// its instance `dev` goes on where it stood, so that nothing has ended meanwhile.
    pub async fn over(db: TestDb, ring: &str, secret_key: &str, stood_at: &str) -> Self {
        super::cost::listen();
        schema::migrate(&db.options()).await.unwrap();
        let (id, secret) = ring.split_once(':').unwrap();
        let ring = vec![RingEntry { id: id.to_owned(), secret: Secret::from(secret.to_owned()) }];
        let config = config();
        let app = build(&db, &ring, &config).await;
        let instance = directory::by_name(&app.db, "dev").await.unwrap().unwrap();
        let stood_at = Timestamp::parse(stood_at, &time::format_description::well_known::Rfc3339).unwrap();
        let offset = i64::try_from((stood_at - app.clock.now()).whole_microseconds()).unwrap();
        instances::set_clock_offset(&mut app.db_of(&instance), offset).await.unwrap();
        app.forget_directory();
        // As every process does when it opens a database; here the instance's clock is set first.
        actions::signing_keys::add_missing(&app).await.unwrap();
        let bound = bind(&config.server.listen).await.unwrap();
        let server = Server::start(bound, router::service(Arc::clone(&app)), Caps::from(&config.server));
        Self {
            db,
            apps: vec![app],
            jobs: Vec::new(),
            config,
            // Its addresses stay those of its own origin; browsers go to the replica.
            origin_port: url::Url::parse(&instance.origin).unwrap().port().unwrap(),
            reachable: Ports::in_place_of(&instance.origin, server.port()),
            instance: instance.id,
            secret_key: secret_key.to_owned(),
            publishable_key: instance.publishable_key,
            servers: vec![server],
            processes: None,
            addresses: AtomicU32::new(0),
            ring,
        }
    }

    /// The key ring, as `VESTIBULE_KEYS` has it.
    pub fn keys(&self) -> String {
        let entries = self.ring.iter().map(|entry| entry.to_setting().expose_secret().to_owned());
        entries.collect::<Vec<_>>().join(",")
    }

    /// The first replica's shared parts.
    pub fn app(&self) -> &Arc<App> {
        &self.apps[0]
    }

    /// The instance's origin: `http://localhost:<port of the first replica>`.
    pub fn origin(&self) -> String {
        format!("http://localhost:{}", self.origin_port)
    }

    /// An address on the instance's origin.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// The replicas' ports.
    pub fn ports(&self) -> Vec<u16> {
        match &self.processes {
            Some(processes) => processes.ports(),
            None => self.servers.iter().map(Server::port).collect(),
        }
    }

    /// A new browser without cookies.
    pub fn browser(&self) -> Browser {
        self.browser_at(Arc::clone(&self.reachable))
    }

    /// A new browser that asks the first process alone.
    pub fn browser_of_the_first(&self) -> Browser {
        self.browser_at(Ports::new(vec![self.origin_port]))
    }

    fn browser_at(&self, ports: Arc<Ports>) -> Browser {
        if self.processes.is_none() {
            return Browser::new(ports);
        }
        // 127.0.0.1 belongs to the others on this machine.
        let count = self.addresses.fetch_add(1, Ordering::Relaxed);
        Browser::from(ports, IpAddr::V4(Ipv4Addr::from_bits(0x7f01_0001 + count)))
    }

    /// A `GET` of the backend API with the instance's secret key.
    pub async fn backend_get(&self, path: &str) -> Answer {
        let browser = self.browser();
        browser.send(browser.raw(http::Method::GET, &self.url(path)).bearer_auth(&self.secret_key)).await
    }

    /// A request of the backend API with a JSON body.
    pub async fn backend(&self, method: http::Method, path: &str, body: &serde_json::Value) -> Answer {
        let browser = self.browser();
        browser.send(browser.raw(method, &self.url(path)).bearer_auth(&self.secret_key).json(body)).await
    }

    /// A context for calling flows directly, as a request to the first replica would have it.
    pub async fn ctx(&self) -> Ctx {
        let app = Arc::clone(self.app());
        let instance = directory::by_id(&app.db, &self.instance).await.unwrap().unwrap();
        let from = Origin {
            request_id: RequestId::new(app.clock.now(), app.rng.as_ref()),
            ip: Some([192, 0, 2, 1].into()),
            user_agent: Some("tests".to_owned()),
            origin: None,
        };
        Ctx::new(app, Arc::new(instance), from)
    }

    /// Moves the instance's clock forward, on top of earlier moves.
    pub async fn advance(&self, by: Duration) {
        let ctx = self.ctx().await;
        let moved = ctx.instance.clock_offset + by;
        let microseconds = i64::try_from(moved.whole_microseconds()).unwrap();
        instances::set_clock_offset(&mut ctx.db(), microseconds).await.unwrap();
        for app in &self.apps {
            app.forget_directory();
        }
    }

    /// The key ring that the replicas were last started with.
    pub fn ring(&self) -> &[RingEntry] {
        &self.ring
    }

    /// Restarts a replica with another key ring, as an operator does it behind a proxy: requests go to the others first,
    /// nothing that is on its way is cut, and the new one takes the old one's port.
    pub async fn restart_with_ring(&mut self, index: usize, ring: Vec<RingEntry>) {
        let ports = self.ports();
        let others = ports.iter().copied().filter(|port| *port != ports[index]).collect();
        self.reachable.become_these(others).await;
        self.servers.remove(index).stop(Duration::from_secs(10)).await;
        let app = build(&self.db, &ring, &self.config).await;
        let bound = bind(&[Listen::Localhost(ports[index])]).await.unwrap();
        let server = Server::start(bound, router::service(Arc::clone(&app)), Caps::from(&self.config.server));
        self.servers.insert(index, server);
        self.apps[index] = app;
        self.ring = ring;
        self.reachable.become_these(ports).await;
    }

    /// Makes another development instance in the same database; returns its secret key.
    pub async fn second_instance(&self) -> String {
        let new = NewInstance::on_own_loopback_name("other", self.ports()[0]).unwrap();
        let created = instance::create(self.app(), &new, Actor::System).await.unwrap();
        created.secret_key.expose_secret().to_owned()
    }

    /// The command line over this installation.
    pub fn program(&self) -> super::program::Program {
        let ring: Vec<String> = self.ring.iter().map(|entry| entry.to_setting().expose_secret().to_owned()).collect();
        super::program::Program::new()
            .database(&self.db.url())
            .variable("VESTIBULE_KEYS", &ring.join(","))
            .variable("VESTIBULE_DEV__PAGES", "true")
    }

    /// Runs `act` and tells what it cost the database. What earlier requests left to be recorded is written before.
    pub async fn cost<T>(&self, act: impl Future<Output = T>) -> super::cost::Cost {
        for app in &self.apps {
            app.recorder.flush().await;
        }
        super::cost::of(act).await
    }

    /// What the database holds that must never be, in words; looked for also when this value is dropped.
    pub async fn broken_invariants(&self) -> Vec<String> {
        invariants::broken(&self.db.options(), &self.ring).await
    }

    /// Fails if there is anything of that kind.
    pub async fn invariants(&self) {
        let broken = self.broken_invariants().await;
        assert!(broken.is_empty(), "broken invariants:\n{}", broken.join("\n"));
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (options, ring) = (self.db.options(), self.ring.clone());
        // A thread and runtime of its own: the test's runtime may be blocked here.
        let checked = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(invariants::broken(&options, &ring))
        });
        let broken = checked.join().expect("the invariants can be checked");
        assert!(broken.is_empty(), "broken invariants:\n{}", broken.join("\n"));
    }
}

/// The settings of a `dev` server, with small pools: hundreds of tests share one PostgreSQL.
fn config() -> Config {
    let mut config = Config::dev();
    config.server.listen = vec![Listen::Localhost(0)];
    config.server.internal_listen = None;
    config.database.max_connections = 4;
    config.database.min_connections = 0;
    config.passwords = Cost { memory: 64, passes: 1 };
    config
}

async fn build(db: &TestDb, ring: &[RingEntry], config: &Config) -> Arc<App> {
    let ring = KeyRing::from_entries(ring).unwrap();
    let mut app = App::build(config.clone(), pool::open(db.route(), &config.database), ring).await.unwrap();
    // Every request of a test comes from one address: limits are evaluated, but out of the way. A test that is about
    // them switches `limits.relaxed` off.
    if config.limits.relaxed {
        Arc::get_mut(&mut app).unwrap().rates = config.limits.rates.times(1_000);
    }
    app
}
