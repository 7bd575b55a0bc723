package pgdump

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// recorder writes down what a scanner finds.
type recorder struct{ found []string }

func (r *recorder) statement(text []byte) error { return r.add("statement", string(text)) }
func (r *recorder) part(p []byte) error         { return r.add("part", string(p)) }
func (r *recorder) command(line string) error   { return r.add("command", line) }
func (r *recorder) comment(line string)         { _ = r.add("comment", line) }

func (r *recorder) add(kind, text string) error {
	r.found = append(r.found, kind+" "+text)
	return nil
}

func TestScanner(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want []string
		err  error
	}{
		"empty":      {text: "\n \t\n"},
		"statements": {text: "SET a = 1;\nSELECT 2; SELECT 3;", want: []string{"statement SET a = 1;", "statement SELECT 2;", "statement SELECT 3;"}},
		"comments": {text: "--\n-- PostgreSQL database dump\r\n/* a /* b; */ ' */SELECT 1 -- it's; so\n/* ' */;",
			want: []string{"comment --", "comment -- PostgreSQL database dump", "statement SELECT 1 -- it's; so\n/* ' */;"}},
		"a comment that is none":   {text: "SELECT 1 - -1 / 2;", want: []string{"statement SELECT 1 - -1 / 2;"}},
		"a comment of a star":      {text: "/*/ ; */SELECT 1;", want: []string{"statement SELECT 1;"}},
		"commands":                 {text: "\\connect a b\r\nSELECT 1;\n\\x", want: []string{`command \connect a b`, "statement SELECT 1;", `command \x`}},
		"a command after a space":  {text: " \\x\n", err: errCommand},
		"a command in a line":      {text: "SELECT 1; \\x\n", want: []string{"statement SELECT 1;"}, err: errCommand},
		"a command in a statement": {text: "SELECT \\x\n;", err: errCommand},
		"literals":                 {text: `SELECT 'a;''\', E'a\';''\\', U&'\0041', "a;""\", e'\'';`, want: []string{`statement SELECT 'a;''\', E'a\';''\\', U&'\0041', "a;""\", e'\'';`}},
		"a word that ends in e":    {text: `SELECT type'\';`, want: []string{`statement SELECT type'\';`}},
		"lines in a literal":       {text: "SELECT '\n\\connect x\n';", want: []string{"statement SELECT '\n\\connect x\n';"}},
		"dollars": {text: "DO $$ a; $b$ ' $$; DO $a$ $$ ; $ab$ \\x\n$a$; SELECT $1, a$b$c;",
			want: []string{"statement DO $$ a; $b$ ' $$;", "statement DO $a$ $$ ; $ab$ \\x\n$a$;", "statement SELECT $1, a$b$c;"}},
		"rows": {text: "COPY t (a) FROM stdin;\na;'\t\\\\connect x\n\\.x\n\\N\n\\.\nSELECT 1;\n",
			want: []string{"statement COPY t (a) FROM stdin;", "part a;'\t\\\\connect x\n", "part \\.x\n", "part \\N\n", "part \\.\n", "statement SELECT 1;"}},
		"rules": {text: "CREATE RULE r AS ON INSERT TO t DO (INSERT INTO a VALUES (1); UPDATE pg_catalog.pg_database SET x = 1;); SELECT ')';",
			want: []string{"statement CREATE RULE r AS ON INSERT TO t DO (INSERT INTO a VALUES (1); UPDATE pg_catalog.pg_database SET x = 1;);", "statement SELECT ')';"}},
		"bodies": {text: "Create OR REPLACE function f() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT '; end'; END; SELECT 2;",
			want: []string{"statement Create OR REPLACE function f() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT '; end'; END;", "statement SELECT 2;"}},
		"no bodies":                {text: "BEGIN; CREATE TABLE function (a int); SELECT e.begin; COMMIT; END;", want: []string{"statement BEGIN;", "statement CREATE TABLE function (a int);", "statement SELECT e.begin;", "statement COMMIT;", "statement END;"}},
		"a byte 0":                 {text: "SELECT 1;\x00", want: []string{"statement SELECT 1;"}, err: errNul},
		"a byte 0 in a literal":    {text: "SELECT '\x00';", err: errNul},
		"a byte 0 in a comment":    {text: "-- a\x00\n", err: errNul},
		"a byte 0 in rows":         {text: "COPY t FROM stdin;\n1\n\\.\x00\n", want: []string{"statement COPY t FROM stdin;", "part 1\n"}, err: errNul},
		"rows of another spelling": {text: "COPY t FROM/**/stdin;\n\\.\n", want: []string{"statement COPY t FROM/**/stdin;"}, err: errCopy},
		"rows of a long statement": {text: "COPY t /*" + strings.Repeat("x", maxStatement) + "*/ FROM stdin;\n\\.\n", err: errCopy},
		"no rows":                  {text: "COPY t FROM STDIN;\n\\.\n\\x\n", want: []string{"statement COPY t FROM STDIN;", "part \\.\n", `command \x`}},
		"other rows":               {text: "COPY t FROM stdin WITH CSV;\n", want: []string{"statement COPY t FROM stdin WITH CSV;"}, err: errCopy},
		"rows on the line":         {text: "COPY t FROM stdin; 1\n\\.\n", want: []string{"statement COPY t FROM stdin;"}, err: errCopy},
		"rows that are cut":        {text: "COPY t FROM stdin;\n1\n\\.", want: []string{"statement COPY t FROM stdin;", "part 1\n"}, err: errEarly},
		"cut":                      {text: "SELECT 1", err: errEarly},
		"cut in a literal":         {text: "SELECT 'a;", err: errEarly},
		"cut in a name":            {text: `SELECT "a;`, err: errEarly},
		"cut in dollars":           {text: "SELECT $$;", err: errEarly},
		"cut in a comment":         {text: "/* ;", err: errEarly},
		"a long command":           {text: "\\" + strings.Repeat("x", maxCommand+1), err: errCommand},
	} {
		for how, reader := range map[string]io.Reader{"whole": strings.NewReader(tc.text), "in bytes": iotest.OneByteReader(strings.NewReader(tc.text))} {
			r := &recorder{}
			err := newScanner(reader, r).scan()
			require.ErrorIs(t, err, tc.err, "%s, %s", name, how)
			require.Equal(t, tc.want, r.found, "%s, %s", name, how)
		}
	}
}

// Statements and rows of any length go through in little memory.
func TestScannerOfLongText(t *testing.T) {
	t.Parallel()
	long := "INSERT INTO t VALUES ('" + strings.Repeat("ab;'' \\\n", maxStatement/2) + "');"
	rows := "COPY t FROM stdin;\n" + strings.Repeat("x", 3*scanBuffer) + "\n\\.\n"
	r := &recorder{}
	require.NoError(t, newScanner(strings.NewReader(long+"\n"+rows+"SELECT 1;"), r).scan())
	var got strings.Builder
	for _, f := range r.found {
		require.LessOrEqual(t, len(f), maxStatement+scanBuffer)
		_, text, _ := strings.Cut(f, " ")
		got.WriteString(text)
		if strings.HasPrefix(f, "statement COPY") {
			got.WriteString("\n")
		}
	}
	require.Equal(t, long+"\n"+rows+"SELECT 1;", got.String())
}

// A statement that no server takes is refused before psql has gathered it.
func TestScannerOfEndlessStatement(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"SELECT '", "SELECT $$", "SELECT /*", "SELECT --", "SELECT 1, "} {
		r := &recorder{}
		s := newScanner(io.MultiReader(strings.NewReader(text), endless{}), r)
		s.longest = 3 * maxStatement
		require.ErrorIs(t, s.scan(), errLong, text)
	}
}

// endless is one letter without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestScannerPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, text := range []string{"", "SELECT 1;", "SELECT '", "SELECT $$ ", "/*", "--", "COPY t FROM stdin;\n1\n", "\\x"} {
		err := newScanner(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), &recorder{}).scan()
		require.ErrorIs(t, err, broken, text)
	}
}

// Whatever the text is, the scanner ends, holds little, and loses and invents nothing but comments, commands and space between statements. What it passes on is cut in the same places
// when it is read again.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{
		"SELECT 1;", "COPY t FROM stdin;\n1\n\\.\n", "DO $a$ ' $a$;", "/* */ E'\\''", "\\connect x\n", "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; END;", "SELECT (1;2);",
		"SELECT 1$$;$$;", "SELECT $$a$$$$b$$;", "-- a\n/* /* */ */;",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &recorder{}
		err := newScanner(bytes.NewReader(text), r).scan()
		rest := text
		var passed strings.Builder
		for _, found := range r.found {
			require.LessOrEqual(t, len(found), maxStatement+scanBuffer)
			kind, piece, _ := strings.Cut(found, " ")
			if kind != "statement" && kind != "part" {
				continue
			}
			passed.WriteString(piece)
			if kind == "statement" {
				passed.WriteByte('\n') // as the restorer does
			}
			at := bytes.Index(rest, []byte(piece))
			require.GreaterOrEqual(t, at, 0, "%q is not in what is left of %q", piece, text)
			rest = rest[at+len(piece):]
		}
		if err != nil {
			return
		}
		again := &recorder{}
		require.NoError(t, newScanner(strings.NewReader(passed.String()), again).scan(), "%q", passed.String())
		require.Equal(t, executed(r), executed(again))
	})
}

// executed are the statements and rows that were found.
func executed(r *recorder) (out []string) {
	for _, found := range r.found {
		if strings.HasPrefix(found, "statement ") || strings.HasPrefix(found, "part ") {
			out = append(out, found)
		}
	}
	return out
}
