package rehearsal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

// server is a database's client that answers as one in a container does.
type server func(in io.Reader, out io.Writer) error

func (s server) Exec(_ context.Context, cmd cluster.Command) error { return s(cmd.Stdin, cmd.Stdout) }

func with(s server, rows int) *Rehearsal {
	return &Rehearsal{db: Postgres(), opts: Options{Rows: rows}, executor: s}
}

// holding answers with the items and ledger of a database of so many rows, after change has been at them.
func holding(rows, transactions, total int, change func(lines []string) []string) server {
	return func(in io.Reader, out io.Writer) error {
		query, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		var all []string
		if strings.Contains(string(query), "ledger") {
			for n := range transactions {
				all = append(all, fmt.Sprintf("%d\t%s", n+1, entry(n+1)))
			}
			all = append(all, fmt.Sprintf("total\t%d", total))
		} else {
			for id := range rows {
				i := makeItem(id+1, false)
				all = append(all, i.line())
			}
		}
		_, err = io.WriteString(out, strings.Join(change(all), "\n")+"\n")
		return err
	}
}

func same(lines []string) []string { return lines }

func TestCompareFindsEveryDifference(t *testing.T) {
	c, err := with(holding(200, 7, 7, same), 200).Compare(t.Context())
	require.NoError(t, err)
	require.Equal(t, &Comparison{Items: 200, Ledger: 7}, c)

	onlyItems := func(f func([]string) []string) func([]string) []string {
		return func(lines []string) []string {
			if len(lines) < 100 {
				return lines
			}
			return f(lines)
		}
	}
	for name, s := range map[string]struct {
		server server
		want   string
	}{
		"a row is missing":        {holding(200, 7, 7, onlyItems(func(l []string) []string { return append(l[:9:9], l[10:]...) })), "item 10 differs"},
		"the last row is missing": {holding(199, 7, 7, same), "199 items, 200 were written"},
		"a row too many":          {holding(201, 7, 7, same), "201 items, 200 were written"},
		"a byte differs": {holding(200, 7, 7, onlyItems(func(l []string) []string {
			l[49] = strings.Replace(l[49], "a", "b", 1)
			return l
		})), "item 50 differs"},
		"a transaction is missing":  {holding(200, 7, 7, func(l []string) []string { return append(l[:3:3], l[4:]...) }), "differs"},
		"a gap in the ledger":       {holding(200, 7, 7, gap), "the ledger has"},
		"tables of different times": {holding(200, 7, 8, same), "not of one moment"},
		"no counter":                {holding(200, 7, 7, func(l []string) []string { return keep(l, "total") }), "not of one moment"},
		"the last line is cut off":  {func(in io.Reader, out io.Writer) error { _, err := io.WriteString(out, "1\t"); return err }, "cut off"},
		"the client failed":         {func(io.Reader, io.Writer) error { return errors.New("no server") }, "no server"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := with(s.server, 200).Compare(t.Context())
			require.ErrorContains(t, err, s.want)
		})
	}
}

// gap takes a transaction out of a ledger.
func gap(l []string) []string {
	if len(l) > 100 {
		return l
	}
	return append(l[:3:3], l[4:]...)
}

// keep leaves out the lines that begin so.
func keep(l []string, not string) []string {
	var kept []string
	for _, line := range l {
		if !strings.HasPrefix(line, not) {
			kept = append(kept, line)
		}
	}
	return kept
}

func TestItemsAreTheSameAtEveryCallAndOfEveryKind(t *testing.T) {
	var nulls, empty, big, long, nuls, withQuote int
	for id := 1; id <= 2000; id++ {
		a, b := makeItem(id, true), makeItem(id, true)
		require.Equal(t, a, b)
		require.Equal(t, a.line(), b.line())
		for kind, n := range map[*int]bool{
			&nulls: a.noNote && a.noPayload, &empty: a.note == "" && !a.noNote, &big: a.repeated > 1, &long: len(a.note) > 100<<10,
			&nuls: strings.Contains(a.note, "\x00"), &withQuote: strings.Contains(a.name, "'"),
		} {
			if n {
				*kind++
			}
		}
		require.NotContains(t, makeItem(id, false).note, "\x00")
	}
	for _, n := range []int{nulls, empty, big, long, nuls, withQuote} {
		require.Positive(t, n)
	}
}

func TestLoadWritesEveryRowOnce(t *testing.T) {
	for _, db := range []*Database{Postgres(), MariaDB()} {
		var got strings.Builder
		r := with(func(in io.Reader, _ io.Writer) error { _, err := io.Copy(&got, in); return err }, 250)
		r.db = db
		require.NoError(t, r.Load(t.Context()))
		require.Equal(t, 3, strings.Count(got.String(), "INSERT INTO items VALUES\n"))
		require.Equal(t, 3, strings.Count(got.String(), ";\n"))
		ids := regexp.MustCompile(`(?m)^\((\d+), `).FindAllStringSubmatch(got.String(), -1)
		require.Len(t, ids, 250)
		require.Equal(t, "250", ids[249][1])
	}
	broken := errors.New("no server")
	require.ErrorIs(t, with(func(io.Reader, io.Writer) error { return broken }, 250).Load(t.Context()), broken)
}

// answering acknowledges transactions, with fault for the one of that number.
func answering(at int, fault func(out io.Writer) error) server {
	number := regexp.MustCompile(`SELECT (\d+);$`)
	return func(in io.Reader, out io.Writer) error {
		scan := bufio.NewScanner(in)
		for n := 1; scan.Scan(); n++ {
			if n == at {
				if err := fault(out); err != nil {
					return err
				}
			}
			if _, err := fmt.Fprintln(out, number.FindStringSubmatch(scan.Text())[1]); err != nil {
				return err
			}
		}
		return scan.Err()
	}
}

func TestWriterCountsWhatWasAcknowledged(t *testing.T) {
	w, err := with(answering(0, nil), 100).StartWriter(t.Context(), 1)
	require.NoError(t, err)
	before := w.Acknowledged()
	require.GreaterOrEqual(t, before, 10)
	after, err := w.Stop()
	require.NoError(t, err)
	require.GreaterOrEqual(t, after, before)

	w, err = with(answering(0, nil), 100).StartWriter(t.Context(), 500)
	require.NoError(t, err)
	require.GreaterOrEqual(t, w.Acknowledged(), 510)
	_, err = w.Stop()
	require.NoError(t, err)
}

func TestWriterThatCannotWrite(t *testing.T) {
	broken := errors.New("no server")
	_, err := with(answering(3, func(io.Writer) error { return broken }), 100).StartWriter(t.Context(), 1)
	require.ErrorIs(t, err, broken)
	_, err = with(answering(3, func(out io.Writer) error { _, err := fmt.Fprintln(out, 7); return err }), 100).StartWriter(t.Context(), 1)
	require.ErrorContains(t, err, "transaction 3 was acknowledged as 7")

	w, err := with(answering(20, func(io.Writer) error { return broken }), 100).StartWriter(t.Context(), 1)
	require.NoError(t, err)
	<-w.done
	acknowledged, err := w.Stop()
	require.ErrorIs(t, err, broken)
	require.Equal(t, 19, acknowledged)
}

func TestMainTellsItsUsage(t *testing.T) {
	require.Equal(t, 0, Main(Postgres(), []string{"--help"}))
	for _, args := range [][]string{{"--nonsense"}, {"more"}, {"--lose", "hope"}} {
		require.Equal(t, exitUsage, Main(Postgres(), args), args)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", "/nonexistent")
	require.Equal(t, exitFailed, Main(Postgres(), nil))
}
