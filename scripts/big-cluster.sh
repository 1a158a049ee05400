# Sourced by scripts that need a large database: a PostgreSQL of its own on disk, in $TMPDIR (/tmp), whose address is then in
# TEST_DATABASE_URL. It is removed when the script ends.

programs=${VESTIBULE_PG_BIN:-}
if [ -z "$programs" ]; then
    programs=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb 2>/dev/null | sort -rV | head -n 1)")
fi
account=$(id -un)
[ "$(id -u)" != 0 ] || account=postgres
as_account() {
    if [ "$account" = "$(id -un)" ]; then "$@"; else su -s /bin/sh -c 'cd / && exec "$0" "$@"' "$account" -- "$@"; fi
}

home=$(mktemp -d "${TMPDIR:-/tmp}/vestibule-big.XXXXXX")
chmod 711 "$home"
chown "$account" "$home"
trap 'as_account "$programs/pg_ctl" -D "$home/data" -m immediate -s stop || true; rm -rf "$home"' EXIT
as_account "$programs/initdb" -D "$home/data" -U vestibule -A trust -E UTF8 --locale=C --no-instructions --no-sync >/dev/null
as_account "$programs/pg_ctl" -D "$home/data" -l "$home/postgres.log" -s -w start -o "-c listen_addresses= \
    -c unix_socket_directories=$home -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off \
    -c max_wal_size=4GB -c shared_buffers=1GB -c maintenance_work_mem=512MB"
export TEST_DATABASE_URL="postgres://vestibule@localhost:5432/postgres?host=$home&sslmode=disable"
