package rehearsal

import (
	"encoding/hex"
	"fmt"
)

// MariaDB is MariaDB 10.11 or newer. The image's entry point and the place of the data are those of the image that its makers publish.
func MariaDB() *Database {
	return &Database{
		Name: "mysql", Image: "localhost/mariadb:10.11",
		user: "root", passwordVariable: "MARIADB_ROOT_PASSWORD", data: "/var/lib/mysql", port: 3306,
		ready: []string{"mariadb-admin", "--no-defaults", "--host=127.0.0.1", "--connect-timeout=2", "ping"},
		client: []string{
			"bash", "-c", `export MYSQL_PWD=$MARIADB_ROOT_PASSWORD; exec mariadb --no-defaults --user=root --default-character-set=utf8mb4 --batch --raw --quick --unbuffered --skip-column-names "$@"`, "client",
		},
		appClient: []string{
			"bash", "-c", `read -r MYSQL_PWD; export MYSQL_PWD; exec mariadb --no-defaults --user=app --host=127.0.0.1 --batch --skip-column-names "$1"`, "app",
		},
		schema: func(appPassword string) string { return fmt.Sprintf(mariaDBSchema, appPassword) },
		drop:   "DROP TABLE items, ledger, counter;",
		text:   func(s string) string { return fmt.Sprintf(`_utf8mb4 x'%x'`, s) },
		bytes:  func(b []byte) string { return "x'" + hex.EncodeToString(b) + "'" },
		repeated: func(b []byte, n int) string {
			return fmt.Sprintf("REPEAT(x'%x', %d)", b, n)
		},
		nul: true,
		items: `SELECT CONCAT_WS('\t', id, LOWER(HEX(name)), COALESCE(LOWER(HEX(note)), '-'), amount, ratio, flag, day, moment,
			COALESCE(CONCAT(LENGTH(payload), ':', SHA2(payload, 256)), '-'), LOWER(HEX(doc))) FROM items ORDER BY id;`,
		ledger: `SELECT n, entry FROM ledger ORDER BY n; SELECT 'total', total FROM counter;`,
		facts: `SELECT 'view', COUNT(*) FROM flagged;
			SELECT 'function', name_length(7);
			SELECT 'routine', routine_name, routine_type, definer FROM information_schema.routines WHERE routine_schema = 'shop' ORDER BY 2;
			SELECT 'trigger', trigger_name, event_object_table, action_statement FROM information_schema.triggers WHERE trigger_schema = 'shop' ORDER BY 2;
			SELECT 'event', event_name, interval_value, interval_field, status FROM information_schema.events WHERE event_schema = 'shop' ORDER BY 2;
			SELECT 'index', index_name, column_name FROM information_schema.statistics WHERE table_schema = 'shop' ORDER BY table_name, 2, seq_in_index;
			SELECT 'database', default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = 'shop';
			SHOW GRANTS FOR app@'%'; SHOW GRANTS FOR reader;`,
	}
}

const mariaDBSchema = `
CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE shop
CREATE TABLE items (id bigint PRIMARY KEY, name varchar(200) NOT NULL, note mediumtext, amount decimal(20,6), ratio double, flag boolean,
  day date, moment datetime(6), payload longblob, doc json, KEY by_day (day));
CREATE TABLE ledger (n bigint PRIMARY KEY, entry text NOT NULL);
CREATE TABLE counter (total bigint NOT NULL);
INSERT INTO counter VALUES (0);
CREATE ROLE reader;
GRANT SELECT ON shop.items TO reader;
CREATE USER app@'%%' IDENTIFIED BY '%s' WITH MAX_USER_CONNECTIONS 7;
GRANT reader TO app@'%%';
GRANT SELECT ON shop.* TO app@'%%';
CREATE VIEW flagged AS SELECT id FROM items WHERE flag;
CREATE FUNCTION name_length(which bigint) RETURNS int READS SQL DATA RETURN (SELECT CHAR_LENGTH(name) FROM items WHERE id = which);
CREATE PROCEDURE total() READS SQL DATA SELECT total FROM counter;
CREATE TRIGGER no_delete BEFORE DELETE ON ledger FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the ledger is only written to';
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1;
`
