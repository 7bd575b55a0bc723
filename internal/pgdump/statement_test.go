package pgdump

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnects(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`\connect shop`:   "shop",
		`\connect "Shop"`: "Shop",
		`\connect Shop`:   "shop",
		`\connect "a b"`:  "a b",
		`\connect -reuse-previous=on "dbname='o""d\'d \\ naïve db=x'"`: `o"d'd \ naïve db=x`,
		`\connect a b`:                   "",
		`\connect a b host`:              "",
		`\connect "a=b"`:                 "",
		`\connect "postgresql://host/x"`: "",
		`\connect`:                       "",
		`\connect ""`:                    "",
		`\connect -reuse-previous=off "dbname='x'"`:         "",
		`\connect -reuse-previous=on "dbname='x' host='y'"`: "",
		`\connect -reuse-previous=on "host='y'"`:            "",
		`\connect -reuse-previous=on "dbname=''"`:           "",
		`\connect -reuse-previous=on "dbname='x"`:           "",
		`\c shop`:  "",
		`\! touch`: "",
	} {
		got, err := connects(line)
		require.Equal(t, want, got, line)
		if want == "" {
			require.ErrorIs(t, err, errCommand, line)
		}
	}
}

func TestCreation(t *testing.T) {
	t.Parallel()
	const text = `CREATE DATABASE "a LOCALE = 'x'" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'de_DE.utf8';`
	for version, want := range map[int]string{
		150018: text,
		140000: `CREATE DATABASE "a LOCALE = 'x'" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'de_DE.utf8';`,
		120022: `CREATE DATABASE "a LOCALE = 'x'" WITH TEMPLATE = template0 ENCODING = 'UTF8' LC_COLLATE = 'de_DE.utf8' LC_CTYPE = 'de_DE.utf8';`,
	} {
		name, got, err := creation(text, version)
		require.NoError(t, err)
		require.Equal(t, "a LOCALE = 'x'", name)
		require.Equal(t, want, "CREATE DATABASE "+quoteName(name)+got)
	}
	_, got, err := creation(`CREATE DATABASE shop WITH ENCODING = 'UTF8' LC_COLLATE = 'C' LC_CTYPE = 'de';`, 120000)
	require.NoError(t, err)
	require.Equal(t, ` WITH ENCODING = 'UTF8' LC_COLLATE = 'C' LC_CTYPE = 'de';`, got)
	_, _, err = creation(`CREATE DATABASE ;`, 150000)
	require.Error(t, err)
}

func TestDatabaseOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`ALTER DATABASE shop OWNER TO app;`:                        "shop",
		`COMMENT ON DATABASE "a b" IS 'x';`:                        "a b",
		`GRANT CONNECT,TEMPORARY ON DATABASE shop TO PUBLIC;`:      "shop",
		"REVOKE ALL ON DATABASE shop FROM x;":                      "shop",
		`SECURITY LABEL FOR selinux ON DATABASE shop IS 'x';`:      "shop",
		`COMMENT ON TABLE public.t IS 'ON DATABASE shop';`:         "",
		`GRANT SELECT ON TABLE "x ON DATABASE shop" TO x;`:         "",
		`ALTER TABLE t ADD a text DEFAULT 'ALTER DATABASE shop';`:  "",
		`INSERT INTO t VALUES ('GRANT ALL ON DATABASE x TO y;');`:  "",
		`ALTER DATABASE_OF x OWNER TO app;`:                        "",
		`GRANT ALL ON FUNCTION f(a text) TO "on database" ;`:       "",
		`CREATE TRIGGER database AFTER INSERT ON DATABASE_LOG ...`: "",
	} {
		got, _ := databaseOf(text)
		require.Equal(t, want, got, text)
	}
}

// quoteName and quoteText are read back as they were.
func TestQuotes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", `a"b`, `"`, "A b", "ä"} {
		got, rest, ok := nameAt(quoteName(name) + " x")
		require.True(t, ok)
		require.Equal(t, name, got)
		require.Equal(t, " x", rest)
	}
	require.Equal(t, `E'a\\''b'`, quoteText(`a\'b`))
}

func TestHasRestrict(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": true, "psql (PostgreSQL) 15.14": true, "psql (PostgreSQL) 18.0": true, "psql (PostgreSQL) 19devel": true,
		"psql (PostgreSQL) 15.13": false, "psql (PostgreSQL) 12.22": false, "psql (PostgreSQL) 9.6.24": false, "psql (PostgreSQL) 17.5": false, "": false,
	} {
		require.Equal(t, want, hasRestrict(version), version)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	good := func() *Request {
		return &Request{Op: Dump, Path: "a/b", Profile: json.RawMessage(`{"secret":"canary"}`), Server: Server{Host: "db", User: "u", Password: "canary"}}
	}
	text, err := good().Text()
	require.NoError(t, err)
	got, err := ParseRequest(text)
	require.NoError(t, err)
	require.Equal(t, good(), got)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q"} {
		require.Equal(t, "request to dump databases", fmt.Sprintf(verb, *got))
		require.NotContains(t, fmt.Sprintf(verb, got), "canary")
	}
	for name, change := range map[string]func(r *Request){
		"no operation":     func(r *Request) { r.Op = "drop" },
		"no path":          func(r *Request) { r.Path = "" },
		"no host":          func(r *Request) { r.Server.Host = "" },
		"a list of hosts":  func(r *Request) { r.Server.Host = "a,b" },
		"a socket":         func(r *Request) { r.Server.Host = "/tmp" },
		"an abstract one":  func(r *Request) { r.Server.Host = "@x" },
		"no user":          func(r *Request) { r.Server.User = "" },
		"a bad password":   func(r *Request) { r.Server.Password = "canary\x00" },
		"a bad port":       func(r *Request) { r.Server.Port = 70000 },
		"a bad mode":       func(r *Request) { r.Server.TLS = "prefer" },
		"a bad database":   func(r *Request) { r.Databases = []string{"a", ""} },
		"a worse database": func(r *Request) { r.Databases = []string{"a\x00b"} },
	} {
		r := good()
		change(r)
		_, err := r.Text()
		require.ErrorIs(t, err, errRequest, name)
		require.NotContains(t, err.Error(), "canary", name)
	}
	for _, text := range []string{"", "{", `{"server": "canary"}`, "null", strings.Repeat(" ", 4<<20)} {
		_, err := ParseRequest([]byte(text))
		require.ErrorIs(t, err, errRequest)
		require.NotContains(t, err.Error(), "canary")
	}
}

func TestEachFile(t *testing.T) {
	t.Parallel()
	packed := func(text string) string {
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return buf.String()
	}
	archive := func(headers ...tar.Header) string {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, h := range headers {
			text := "-- " + h.Name
			if h.Typeflag == tar.TypeReg {
				h.Size = int64(len(text))
			}
			require.NoError(t, w.WriteHeader(&h))
			if h.Typeflag == tar.TypeReg {
				_, err := io.WriteString(w, text)
				require.NoError(t, err)
			}
		}
		require.NoError(t, w.Close())
		return buf.String()
	}
	reg := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
	two := archive(tar.Header{Name: "backup/", Typeflag: tar.TypeDir}, reg("backup/a.sql"), reg("../../b.sql"))
	for name, tc := range map[string]struct {
		object string
		want   []string
		fault  string
	}{
		"plain":             {object: "SELECT 1;", want: []string{"SELECT 1;"}},
		"gzip":              {object: packed("SELECT 1;"), want: []string{"SELECT 1;"}},
		"two gzips":         {object: packed("SELECT 1;") + packed("SELECT 2;"), want: []string{"SELECT 1;SELECT 2;"}},
		"tar":               {object: two, want: []string{"-- backup/a.sql", "-- ../../b.sql"}},
		"tar.gz":            {object: packed(two), want: []string{"-- backup/a.sql", "-- ../../b.sql"}},
		"a cut gzip":        {object: packed("SELECT 1;")[:20], fault: "EOF"},
		"a cut tar":         {object: two[:1030], want: []string{"-- bac"}, fault: "EOF"},
		"garbage after":     {object: packed("SELECT 1;") + "garbage that is long", fault: "header"},
		"damaged after tar": {object: packed(two)[:len(packed(two))-8] + "12345678", want: []string{"-- backup/a.sql", "-- ../../b.sql"}, fault: "checksum"},
		"a link":            {object: archive(tar.Header{Name: "a.sql", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), fault: "is no dump"},
		"another file":      {object: archive(reg("etc/passwd")), fault: "is no dump"},
		"custom format":     {object: "PGDMP\x01", fault: "custom format"},
	} {
		var got []string
		err := eachFile(strings.NewReader(tc.object), func(r io.Reader) error {
			text, err := io.ReadAll(r)
			if len(text) > 0 && (err == nil || strings.HasPrefix(string(text), "--")) {
				got = append(got, string(text))
			}
			return err
		})
		require.Equal(t, tc.want, got, name)
		if tc.fault == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, tc.fault, name)
		}
	}
}
