//go:build unix

package image

// MySQLTools has what blueprints for MySQL and MariaDB ask of the image of their tasks: the clients, gzip, and davit as kando. The name is the one that the blueprint has; davit is the binary.
func MySQLTools(name, davit string) Spec {
	spec := MariaDB(davit)
	spec.Name, spec.Entrypoint = name, nil
	spec.Packages = append(spec.Packages, "gzip")
	// An option that only Oracle's client has.
	spec.Files = append(spec.Files, File{Path: "/usr/local/bin/mysqldump", Mode: 0o755, Data: []byte(`#!/bin/bash
args=()
for arg; do [[ $arg == --column-statistics=* ]] || args+=("$arg"); done
exec /usr/bin/mysqldump "${args[@]}"
`)})
	return spec
}
