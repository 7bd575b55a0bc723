package pgdump

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/mover"
)

// What is kept of an object or a server is bounded, and what is cut off is no answer.
func TestBounds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]answer{
		"a\x00b\x00token\x00": {fields: []string{"a", "b"}},
		"a\x00" + strings.Repeat("x", 2*maxAnswer) + "\x00b\x00token\x00": {fields: []string{"a"}, cut: true}, // b would be in the place of another
		strings.Repeat("\x00", 2*maxAnswer) + "token\x00":                 {fields: make([]string, maxAnswer), cut: true},
	} {
		s := &session{token: "token", answers: make(chan answer, 1)}
		s.listen(strings.NewReader(text))
		got := <-s.answers
		require.Equal(t, want.cut, got.cut)
		require.InDelta(t, len(want.fields), len(got.fields), 1)
		require.LessOrEqual(t, len(strings.Join(got.fields, " ")), maxAnswer)
	}

	var warned []string
	r := &restorer{
		server: &server{warn: atMost(func(text string) { warned = append(warned, text) })}, version: 150000, told: map[string]bool{}, settings: map[string]bool{}, tick: &ticker{tell: func(mover.Progress) {}},
	}
	for i := range 10 * maxTold {
		require.NoError(t, r.statement(fmt.Appendf(nil, "ALTER DATABASE x%d OWNER TO x;", i)))
		require.NoError(t, r.statement(fmt.Appendf(nil, "SET nosuch_%s = 1;", strings.Repeat("x", 1+i%3000))))
	}
	require.Len(t, r.told, maxTold)
	require.Len(t, warned, maxTold)
	for i := range 10 {
		r.server.warn(fmt.Sprint(i))
	}
	require.Len(t, warned, maxWarned+1)
	require.Contains(t, warned[maxWarned], "left out")

	require.ErrorContains(t, r.statement([]byte(`CREATE DATABASE "`+strings.Repeat("ä", 32)+`";`)), "has 64 bytes")
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		r.made = append(r.made, created{name: fmt.Sprint("x", i)})
		err = r.statement([]byte("COMMENT ON DATABASE " + r.made[i].name + " IS '" + strings.Repeat("x", maxStatement/2) + "';"))
	}
	require.ErrorContains(t, err, "comments of databases")
	for len(r.made) < maxMade {
		r.made = append(r.made, created{name: fmt.Sprint("y", len(r.made))})
	}
	require.ErrorContains(t, r.statement([]byte("CREATE DATABASE last;")), "more than 1000")

	many := &Request{}
	for i := range maxMade + 1 {
		many.Databases = append(many.Databases, fmt.Sprint(i))
	}
	_, err = dump(t.Context(), r.server, nil, many, Env{})
	require.ErrorIs(t, err, errMany)
}
