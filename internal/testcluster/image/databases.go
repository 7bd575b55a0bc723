//go:build unix

package image

import _ "embed"

// Images of databases that come with davit, also under the name kando: what their blueprints ask of an image.
const (
	PostgresImage = "localhost/postgres:15"
	MariaDBImage  = "localhost/mariadb:10.11"
)

// databaseUser is who databases run as, the same as in the images their makers publish.
const databaseUser = "999:999"

//go:embed postgres.sh
var startPostgres []byte

//go:embed mariadb.sh
var startMariaDB []byte

// Postgres is a PostgreSQL 15 that keeps its data in PGDATA and takes the first password of the user postgres from POSTGRES_PASSWORD. Davit is the binary.
func Postgres(davit string) Spec {
	return Spec{
		Name:     PostgresImage,
		Packages: []string{"bash", "coreutils", "grep", "libc-bin", "postgresql-15", "sed"},
		// Wrappers, certificates, languages, and the compiler of queries, which postgres.sh turns off.
		Without: []string{"libllvm14", "locales", "perl", "postgresql-client-common", "postgresql-common", "ssl-cert"},
		Files: append(agent(davit),
			File{Path: "/usr/local/bin/start", Data: startPostgres, Mode: 0o755},
			File{Path: "/etc/passwd", Data: passwd("postgres", "/var/lib/postgresql")},
			File{Path: "/var/lib/postgresql/data", Dir: true, Mode: 0o700, UID: 999, GID: 999},
			File{Path: "/run/postgresql", Dir: true, Mode: 0o3777, UID: 999, GID: 999},
		),
		User:       databaseUser,
		Env:        []string{"LANG=C.UTF-8", "PGDATA=/var/lib/postgresql/data/pgdata", "PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/usr/sbin"},
		Entrypoint: []string{"start"},
	}
}

// NewerPostgres is for Unpack: the PostgreSQL of Debian's next suite, 17, with all that its programs need.
func NewerPostgres() Spec {
	return Spec{
		Name:     "newer PostgreSQL",
		Suite:    "trixie",
		Packages: []string{"dash", "libc-bin", "postgresql"},
		// As above; and what scripts are for.
		Without: []string{"libjson-perl", "libllvm19", "locales", "netbase", "perl", "perl-base", "postgresql-client-common", "postgresql-common", "ssl-cert", "tzdata"},
	}
}

// MariaDB is a MariaDB 10.11 that keeps its data in /var/lib/mysql and takes the first password of the user root from MARIADB_ROOT_PASSWORD. Davit is the binary.
func MariaDB(davit string) Spec {
	return Spec{
		Name:     MariaDBImage,
		Packages: []string{"bash", "coreutils", "grep", "libc-bin", "mariadb-client", "mariadb-server-core", "sed"},
		Without:  []string{"libconfig-inifiles-perl", "perl"},
		Files: append(agent(davit),
			File{Path: "/usr/local/bin/start", Data: startMariaDB, Mode: 0o755},
			File{Path: "/etc/passwd", Data: passwd("mysql", "/var/lib/mysql")},
			File{Path: "/var/lib/mysql", Dir: true, Mode: 0o700, UID: 999, GID: 999},
			File{Path: "/run/mysqld", Dir: true, Mode: 0o777, UID: 999, GID: 999},
		),
		User:       databaseUser,
		Env:        []string{"LANG=C.UTF-8"},
		Entrypoint: []string{"start"},
	}
}

func agent(davit string) []File {
	return []File{
		{Path: "/usr/local/bin/davit", Source: davit},
		{Path: "/usr/local/bin/kando", Link: "davit"},
		{Path: "/usr/bin/awk", Link: "mawk"},
		{Path: "/usr/bin/sh", Link: "bash"},
	}
}

// passwd names the user: databases ask who they run as.
func passwd(name, home string) []byte {
	return []byte("root:x:0:0:root:/root:/bin/sh\n" + name + ":x:999:999:" + name + ":" + home + ":/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")
}
