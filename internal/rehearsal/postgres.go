package rehearsal

import (
	"encoding/hex"
	"fmt"
)

// Postgres is PostgreSQL 13 or newer. The image's entry point and the place of the data are those of the image that its makers publish.
func Postgres() *Database {
	return &Database{
		Name: "postgres", Image: "localhost/postgres:15",
		user: "postgres", passwordVariable: "POSTGRES_PASSWORD", data: "/var/lib/postgresql/data", port: 5432,
		ready:  []string{"pg_isready", "--quiet", "--host=127.0.0.1"},
		client: []string{"psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t", "--set=ON_ERROR_STOP=1", "--username=postgres"},
		appClient: []string{
			"bash", "-c", `read -r PGPASSWORD; export PGPASSWORD; exec psql --no-psqlrc --quiet --tuples-only --no-align --host=127.0.0.1 --username=app "$1"`, "app",
		},
		schema: func(appPassword string) string { return fmt.Sprintf(postgresSchema, appPassword) },
		drop:   "DROP TABLE items, ledger, counter CASCADE;",
		text:   func(s string) string { return fmt.Sprintf(`convert_from('\x%x', 'UTF8')`, s) },
		bytes:  func(b []byte) string { return `'\x` + hex.EncodeToString(b) + `'` },
		repeated: func(b []byte, n int) string {
			return fmt.Sprintf("decode(repeat('%x', %d), 'hex')", b, n)
		},
		items: `SELECT concat_ws(E'\t', id, encode(convert_to(name, 'UTF8'), 'hex'), coalesce(encode(convert_to(note, 'UTF8'), 'hex'), '-'), amount, ratio, flag::int,
			day, to_char(moment, 'YYYY-MM-DD HH24:MI:SS.US'), coalesce(length(payload) || ':' || encode(sha256(payload), 'hex'), '-'),
			encode(convert_to(doc::text, 'UTF8'), 'hex')) FROM items ORDER BY id;`,
		ledger: `SELECT concat_ws(E'\t', n, entry) FROM ledger ORDER BY n; SELECT 'total', total FROM counter;`,
		facts: `SELECT 'view', count(*) FROM flagged;
			SELECT 'function', name_length(7);
			SELECT 'trigger', tgname, tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal ORDER BY 2;
			SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 2;
			SELECT 'role', rolname, rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 2;
			SELECT 'member', roleid::regrole, member::regrole FROM pg_auth_members WHERE roleid >= 16384 ORDER BY 2, 3;
			SELECT 'grant', grantee, table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee IN ('app', 'reader') ORDER BY 2, 3, 4;
			SELECT 'owner', datname, datdba::regrole, pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = 'shop';
			SELECT 'setting', unnest(setconfig) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'shop';
			SELECT 'large object', encode(lo_get(loid), 'hex') FROM (SELECT oid AS loid FROM pg_largeobject_metadata) o;`,
	}
}

const postgresSchema = `
CREATE ROLE reader NOLOGIN;
CREATE ROLE app LOGIN PASSWORD '%s' CONNECTION LIMIT 7 IN ROLE reader;
CREATE DATABASE shop OWNER app;
ALTER DATABASE shop SET work_mem = '5MB';
\connect shop
CREATE TABLE items (id bigint PRIMARY KEY, name varchar(200) NOT NULL, note text, amount numeric(20,6), ratio double precision, flag boolean,
  day date, moment timestamp(6), payload bytea, doc json);
CREATE INDEX items_by_day ON items (day) WHERE flag;
CREATE TABLE ledger (n bigint PRIMARY KEY, entry text NOT NULL);
CREATE TABLE counter (total bigint NOT NULL);
INSERT INTO counter VALUES (0);
GRANT SELECT ON items, ledger, counter TO reader;
CREATE VIEW flagged AS SELECT id FROM items WHERE flag;
CREATE FUNCTION name_length(bigint) RETURNS int LANGUAGE sql AS 'SELECT length(name) FROM items WHERE id = $1';
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''the ledger is only written to''; END';
CREATE TRIGGER no_delete BEFORE DELETE ON ledger EXECUTE FUNCTION refuse();
SELECT lo_from_bytea(0, '\x00ff27') \g /dev/null
`
