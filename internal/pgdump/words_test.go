package pgdump

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The code decides, whatever the language; details, which may hold rows, are not told.
func TestWords(t *testing.T) {
	t.Parallel()
	const roles, full, empty = " (roles are not part of a dump", " (into a database that exists", " (a dump goes into databases"
	for name, tc := range map[string]struct {
		text       string
		warns, err string
		hint       string
	}{
		"role": {text: "psql:<stdin>:3: FEHLER:  42704: Rolle »app« existiert nicht\nORT:  x\nLOCATION:  get_role_oid, acl.c:5227\n",
			err: "psql:<stdin>:3: FEHLER:  42704: Rolle »app« existiert nicht; ORT:  x", hint: roles},
		"type": {text: "psql:<stdin>:3: ERROR:  42704: type \"role \" does not exist\nLINE 1: SELECT row\n               ^\nLOCATION:  typenameType, parse_type.c:270\n",
			err: "psql:<stdin>:3: ERROR:  42704: type \"role \" does not exist"},
		"locks": {text: "psql:<stdin>:3: ERREUR:  53200: plus de mémoire\nHINT:  x\nLOCATION:  LockAcquireExtended, lock.c:1000\n",
			err: "psql:<stdin>:3: ERREUR:  53200: plus de mémoire", hint: full},
		"memory": {text: "psql:<stdin>:3: ERROR:  53200: out of shared memory\nLOCATION:  AllocSetAlloc, aset.c:1\n", err: "psql:<stdin>:3: ERROR:  53200: out of shared memory"},
		"there":  {text: "psql:<stdin>:3: エラー:  42P07: x\n", err: "psql:<stdin>:3: エラー:  42P07: x", hint: empty},
		"a notice first": {text: "psql:<stdin>:3: 注意:  00000: one\ntwo ERROR:\nDETAIL:  row\nmore of it\npsql:<stdin>:4: ОШИБКА:  22012: three\nDETAIL:  row\n",
			warns: `database "d": psql:<stdin>:3: 注意:  00000: one; database "d": two ERROR:`, err: "psql:<stdin>:3: 注意:  00000: one; two ERROR:; psql:<stdin>:4: ОШИБКА:  22012: three"},
		"connection": {text: "psql: error: connection to server failed: FATAL:  no *** here\n", err: "psql: error: connection to server failed: FATAL:  no *** here"},
		"command": {text: "psql:<stdin>:3: error: backslash commands are restricted; only \\unrestrict is allowed\n",
			err: "psql:<stdin>:3: error: backslash commands are restricted; only \\unrestrict is allowed", hint: " (the object was not made by pg_dump"},
	} {
		var warned []string
		s := &session{database: "d", fault: true, server: &server{Server: Server{Password: "canary"}, warn: func(text string) { warned = append(warned, text) }}}
		l := &lines{each: s.hear}
		_, err := l.Write([]byte(strings.ReplaceAll(tc.text, "***", "canary")))
		require.NoError(t, err)
		require.Equal(t, tc.warns, strings.Join(warned, "; "), name)
		require.Equal(t, tc.err, s.server.masked(l.tail()), name)
		hint := s.hint(tc.err)
		if tc.hint == "" {
			require.Empty(t, hint, name)
		} else {
			require.Contains(t, hint, tc.hint, name)
		}
	}
}
