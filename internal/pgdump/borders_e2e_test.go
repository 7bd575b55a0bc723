//go:build e2e

package pgdump

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A text is cut where psql cuts it: psql sends a server, which says yes to all, just the statements and rows that the scanner finds.
func TestBordersOfPsql(t *testing.T) {
	t.Parallel()
	texts := []string{
		"CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3;",
		"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2;); SELECT $$;$$ $$;$$; SELECT $a$ $$ $ab$ $a$ $1';';",
		"SELECT 'a\\', E'\\';', u&'\\', n'\\', type'\\', \"e\"'\\', e/**/'\\'; SELECT a$b$c, $1; /* ; */ SELECT -- ;\n 1;",
		"COPY t FROM stdin;\n1;'\n\\\\.\n\\.x\n\\.\nCREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END; begin; select ')'; end; select (case when 1 then end);",
		"create table a(begin int); create function a.b(begin int) as 'begin'; create function x language sql begin atomic; begin; case; end; end; end; select 1;",
	}
	pieces := []string{
		"'", "''", " ", "\n", ";", ";", "e'", "E'", "$$", "$a$", "$1 ", "--", "/*", "*/", "(", ")", "\"", "a", "e", "1 ", "1$a$", "_", "ä", "create ", "or ", "replace ", "function ", "procedure ",
		"begin ", "end ", "case ", "atomic ", "BEGIN;", "select ", "'\\", "\\'", "COPY t FROM stdin;\n", "\n\\.\n", "-", "/", "*", "$",
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in every run
	for range 40_000 {
		var text strings.Builder
		for range 1 + random.IntN(25) {
			text.WriteString(pieces[random.IntN(len(pieces))])
		}
		text.WriteString(";")
		texts = append(texts, text.String())
	}
	var script bytes.Buffer
	var want []string
	tried, rows := 0, ""
	for _, text := range texts {
		r := &recorder{}
		if newScanner(strings.NewReader(text), r).scan() != nil || len(r.found) == 0 {
			continue
		}
		tried++
		for _, found := range r.found {
			kind, piece, _ := strings.Cut(found, " ")
			switch kind {
			case "statement":
				script.WriteString(piece + "\n")
				want = append(want, trimmed(piece))
			case "part":
				script.WriteString(piece)
				if rows += piece; piece == "\\.\n" {
					if rows = strings.TrimSuffix(rows, piece); rows != "" {
						want = append(want, rows)
					}
					rows = ""
				}
			}
		}
	}
	require.Greater(t, tried, 2000)
	got := psqlSends(t, &script)
	for i := range min(len(want), len(got)) {
		require.Equal(t, want[i], got[i], "after %q", want[max(0, i-3):i])
	}
	require.Len(t, got, len(want))
}

var emptyLines = regexp.MustCompile(`\n\s*\n`)

// trimmed is a statement without the space that psql leaves out, too.
func trimmed(statement string) string {
	return emptyLines.ReplaceAllString(strings.TrimSpace(statement), "\n")
}

// psqlSends runs a script and returns the statements that psql sends, and the rows of each COPY as one.
func psqlSends(t *testing.T, script io.Reader) []string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed below
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	sent := make(chan []string, 1)
	failed := make(chan error, 1)
	go func() {
		got, err := serve(l)
		sent <- got
		failed <- err
	}()
	cmd := exec.CommandContext(t.Context(), "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-")
	s := &server{Server: Server{Host: "127.0.0.1", Port: int32(l.Addr().(*net.TCPAddr).Port), User: "u", TLS: TLSDisable}}
	cmd.Env, cmd.Stdin = s.env("d"), script
	out, err := cmd.CombinedOutput()
	got := <-sent
	require.NoError(t, errors.Join(err, <-failed), "%s, after %q", out[:min(len(out), 2000)], got[max(0, len(got)-3):])
	return got
}

// serve is a PostgreSQL for one session that has nothing against anything.
func serve(l net.Listener) (got []string, err error) {
	c, err := l.Accept()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	in, out := bufio.NewReader(c), bufio.NewWriter(c)
	if _, err := message(in); err != nil { // who it is
		return nil, err
	}
	say(out, 'R', "\x00\x00\x00\x00")
	for _, setting := range []string{"server_version\x0015.0\x00", "client_encoding\x00UTF8\x00", "standard_conforming_strings\x00on\x00"} {
		say(out, 'S', setting)
	}
	say(out, 'Z', "I")
	rows := ""
	for {
		if err := out.Flush(); err != nil {
			return nil, err
		}
		kind, err := in.ReadByte()
		if err != nil {
			return nil, err
		}
		text, err := message(in)
		if err != nil {
			return nil, err
		}
		switch kind {
		case 'Q':
			statement := trimmed(strings.TrimSuffix(text, "\x00"))
			got = append(got, statement)
			if isCopy([]byte(statement)) && copyRows.MatchString(statement) {
				say(out, 'G', "\x00\x00\x00")
				continue
			}
			say(out, 'C', "SET\x00")
			say(out, 'Z', "I")
		case 'd':
			rows += text
		case 'c':
			if rows = strings.TrimSuffix(rows, "\\.\n"); rows != "" { // not every psql sends the end
				got = append(got, rows)
			}
			rows = ""
			say(out, 'C', "COPY 0\x00")
			say(out, 'Z', "I")
		case 'X':
			return got, nil
		default:
			return nil, errors.New("a message of the kind " + strconv.Quote(string(kind)))
		}
	}
}

// message reads a message, with its length.
func message(in io.Reader) (string, error) {
	var size uint32
	if err := binary.Read(in, binary.BigEndian, &size); err != nil {
		return "", err
	}
	text := make([]byte, size-4)
	_, err := io.ReadFull(in, text)
	return string(text), err
}

// say writes a message.
func say(out *bufio.Writer, kind byte, text string) {
	_ = out.WriteByte(kind) // what fails, fails when it is flushed
	_ = binary.Write(out, binary.BigEndian, uint32(len(text)+4))
	_, _ = out.WriteString(text)
}
