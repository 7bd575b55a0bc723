#!/bin/bash
# Makes a database where there is none, all or nothing, and serves it.
set -eu
data=/var/lib/mysql/data
if [ ! -e "$data" ]; then
  rm -rf "$data.new"
  mariadb-install-db --no-defaults --datadir="$data.new" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve
  quoted=$(printf %s "$MARIADB_ROOT_PASSWORD" | sed "s/[\\\\']/\\\\&/g")
  printf '%s\n' "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';" "FLUSH PRIVILEGES;" "CREATE USER root@'%' IDENTIFIED BY '$quoted';" \
    "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;" "ALTER USER root@localhost IDENTIFIED BY '$quoted';" |
    mariadbd --no-defaults --datadir="$data.new" --bootstrap
  mv "$data.new" "$data"
fi
exec mariadbd --no-defaults --datadir="$data" --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid \
  --bind-address=0.0.0.0 --skip-name-resolve --character-set-server=utf8mb4 "$@"
