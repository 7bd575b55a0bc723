package pgdump

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// server is the server of a request, as the programs find it.
type server struct {
	Server
	// ca is the file of certificates; empty for none.
	ca string
	// restricts tells that psql has a restricted mode.
	restricts bool
	// app is the name of this call's sessions; nobody else has it.
	app string
	// prelude are statements that sessions begin with.
	prelude string
	warn    func(string)
}

// systemCAs are where systems keep the certificates they trust.
func systemCAs() []string {
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"}
}

// connectTo finds the programs and puts the certificates where they read them. Close removes those again.
func connectTo(ctx context.Context, s Server, warn func(string)) (_ *server, closer func() error, err error) {
	out := &server{Server: s, warn: warn, app: "davit " + rand.Text()}
	closer = func() error { return nil }
	if out.TLS == "" {
		out.TLS = TLSRequire
		if len(out.CA) > 0 {
			out.TLS = TLSVerify
		}
	}
	if out.restricts, err = restricts(ctx); err != nil {
		return nil, nil, err
	}
	switch {
	case out.TLS != TLSVerify:
	case len(out.CA) > 0:
		dir, err := os.MkdirTemp("", "davit-ca-")
		if err != nil {
			return nil, nil, fmt.Errorf("make a folder for the certificates that are to verify the server: %w", err)
		}
		closer = func() error { return os.RemoveAll(dir) }
		out.ca = filepath.Join(dir, "ca.pem")
		if err := os.WriteFile(out.ca, out.CA, 0o600); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("keep the certificates that are to verify the server: %w", err), closer())
		}
	default:
		for _, name := range systemCAs() {
			if _, err := os.Stat(name); err == nil && out.ca == "" {
				out.ca = name
			}
		}
		if out.ca == "" {
			return nil, nil, fmt.Errorf("verify the server %s: the request has no certificates, and the image has none at %s", s.Host, strings.Join(systemCAs(), ", "))
		}
	}
	return out, closer, nil
}

// keepAlive is the only setting that no variable of libpq has. Without it, a network that forgets quiet connections ends the restore of a large index.
const keepAlive = "--dbname=keepalives_idle=60 keepalives_interval=15 keepalives_count=8"

// env is the environment of a program that works on a database. Nothing of the password is elsewhere, and nothing of the surroundings steers it.
// What the programs say for themselves is English; the server's words are in its own language.
func (s *server) env(database string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent",
		"PGHOST=" + s.Host, "PGPORT=" + strconv.Itoa(int(cmp.Or(s.Port, 5432))), "PGUSER=" + s.User, "PGPASSWORD=" + s.Password,
		"PGDATABASE=" + database, // as an argument, a name with an equals sign would be a list of settings
		"PGSSLMODE=" + string(s.TLS), "PGGSSENCMODE=disable", "PGAPPNAME=" + s.app, "PGCONNECT_TIMEOUT=30",
	}
	for _, name := range []string{"LD_LIBRARY_PATH", "TMPDIR", "DAVIT_ROOT"} { // the last is how the local binding finds its processes
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	if s.ca != "" {
		env = append(env, "PGSSLROOTCERT="+s.ca)
	}
	return env
}

// masked takes the password out of what a program has written.
func (s *server) masked(text string) string {
	if s.Password == "" {
		return text
	}
	return strings.ReplaceAll(text, s.Password, "***")
}

var psqlVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)\.?(\d*)`)

// restricts asks psql for its version.
func restricts(ctx context.Context) (bool, error) {
	cmd := exec.CommandContext(ctx, "psql", "--version")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH")}
	out, err := cmd.Output()
	if err != nil {
		return false, missing("psql", err)
	}
	return hasRestrict(string(out)), nil
}

// missing says what to do about a program that cannot be started.
func missing(program string, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("start %s: %w: the image of this pod must have PostgreSQL's client programs beside davit", program, err)
	}
	return fmt.Errorf("start %s: %w", program, err)
}

// hasRestrict tells whether a version of psql has the restricted mode: it came in August 2025 (CVE-2025-8714).
func hasRestrict(version string) bool {
	m := psqlVersion.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	first, ok := map[int]int{13: 22, 14: 19, 15: 14, 16: 10, 17: 6}[major]
	return major > 17 || ok && minor >= first
}
