package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// written is a transaction of a writer: when it was sent, and when its acknowledgement came; zero for none. The number of a writer's first is 1, and it sends the next one when the one
// before has been acknowledged.
type written struct{ sent, acked time.Time }

// entryLength is that of the text that comes with a transaction.
func entryLength(n int) int { return 500 + n%1000 }

// span says what a copy of the database must and must not hold, by the clock of the writers.
type span struct {
	// all that was acknowledged before this is there.
	all time.Time
	// none that was sent at this or later is there.
	none time.Time
}

// heldSpan is the span of a database that commits nothing while it is held: from a moment before held, when the host had read so, until the host let it go, which was after the last cut. So what
// was acknowledged before the last cut was committed before it was held, however long its acknowledgement took, and what was sent once it was held was committed after it went on. One
// transaction of each writer is in neither: the one that it was waiting for. The cut is on the storage's clock, which is the writers': all of it is on this machine.
func heldSpan(held, lastCut time.Time) span { return span{all: lastCut, none: held} }

// cutSpan is the span of one volume that nobody held, cut at one moment: not before the storage says, and before the host heard of it.
func cutSpan(cut, heard time.Time) span { return span{all: cut, none: heard} }

// bounds are the numbers of the last transaction of a writer that must be there, and of the last that may.
func (s span) bounds(log []written) (must, may int) {
	for i, one := range log {
		if !one.acked.IsZero() && one.acked.Before(s.all) {
			must = i + 1
		}
		if one.sent.Before(s.none) {
			may = i + 1
		}
	}
	return must, may
}

// restoredRow is what a database has of a writer.
type restoredRow struct {
	writer int
	// total is what the writer's counter says, count the number of its entries, last the greatest of their numbers, and length that of their texts together.
	total, count, last, length int
}

// parseRows reads the answer.
func parseRows(text string) (rows []restoredRow, err error) {
	for line := range strings.Lines(text) {
		var r restoredRow
		var more string
		if n, _ := fmt.Sscan(line, &r.writer, &r.total, &r.count, &r.last, &r.length, &more); n != 5 {
			return nil, fmt.Errorf("the database answers %q, not five numbers", line)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// prefixFaults says where a database has not, of each writer, all transactions up to one that the span allows, whole.
func prefixFaults(logs [][]written, rows []restoredRow, s span) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for i, log := range logs {
		must, may := s.bounds(log)
		if must > may {
			fault("writer %d: transaction %d was sent and acknowledged while the database was held", i, must)
		}
		at := slices.IndexFunc(rows, func(r restoredRow) bool { return r.writer == i })
		if at < 0 {
			fault("writer %d is missing", i)
			continue
		}
		r := rows[at]
		length := 0
		for n := 1; n <= r.total; n++ {
			length += entryLength(n)
		}
		if r.count != r.total || r.last != r.total || r.length != length {
			fault("writer %d: its counter says %d; it has %d entries up to number %d, with texts of %d instead of %d", i, r.total, r.count, r.last, r.length, length)
		}
		if most := max(r.total, r.last); most > may {
			fault("writer %d: transaction %d is there, and those after %d were sent too late to be", i, most, may)
		}
		if least := min(r.total, r.count, r.last); least < must {
			fault("writer %d: a transaction after %d is missing, and those up to %d were acknowledged in time", i, least, must)
		}
	}
	if len(rows) != len(logs) {
		fault("there are %d writers instead of %d", len(rows), len(logs))
	}
	return errors.Join(faults...)
}

// TestPrefixFaults checks the check, with logs made by hand.
func TestPrefixFaults(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	// The database is held from 30 on, and cut at 35. Writer 0 waits for its third transaction then. Writer 1 has three, and the acknowledgement of the last is on its way.
	held := heldSpan(at(30), at(35))
	logs := [][]written{
		{{at(1), at(10)}, {at(11), at(20)}, {at(21), at(41)}, {at(42), time.Time{}}},
		{{at(1), at(10)}, {at(11), at(20)}, {at(21), at(31)}, {at(32), at(42)}, {at(43), at(44)}},
	}
	row := func(writer, n int) restoredRow {
		r := restoredRow{writer: writer, total: n, count: n, last: n}
		for i := range n {
			r.length += entryLength(i + 1)
		}
		return r
	}
	changed := func(r restoredRow, change func(*restoredRow)) restoredRow {
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		rows   []restoredRow
		span   span
		faults []string
	}{
		"all that was acknowledged":              {[]restoredRow{row(0, 2), row(1, 3)}, held, nil},
		"one more, that was being waited for":    {[]restoredRow{row(0, 3), row(1, 3)}, held, nil},
		"in another order":                       {[]restoredRow{row(1, 3), row(0, 3)}, held, nil},
		"one volume, cut at 20, heard of at 22":  {[]restoredRow{row(0, 3), row(1, 1)}, cutSpan(at(20), at(22)), nil},
		"nothing, cut before":                    {[]restoredRow{row(0, 0), row(1, 0)}, heldSpan(at(1), at(1)), nil},
		"an acknowledged one is missing":         {[]restoredRow{row(0, 1), row(1, 3)}, held, []string{"writer 0: a transaction after 1 is missing, and those up to 2"}},
		"acknowledged late, missing":             {[]restoredRow{row(0, 2), row(1, 2)}, held, []string{"writer 1: a transaction after 2 is missing, and those up to 3"}},
		"sent before the cut, when it was held":  {[]restoredRow{row(0, 2), row(1, 4)}, held, []string{"writer 1: transaction 4 is there, and those after 3"}},
		"sent after the cut":                     {[]restoredRow{row(0, 4), row(1, 3)}, held, []string{"writer 0: transaction 4 is there, and those after 3"}},
		"sent after one volume was heard of":     {[]restoredRow{row(0, 4), row(1, 5)}, cutSpan(at(35), at(43)), []string{"writer 1: transaction 5 is there, and those after 4"}},
		"a hole":                                 {[]restoredRow{changed(row(0, 3), func(r *restoredRow) { r.count, r.length = 2, r.length-entryLength(1) }), row(1, 3)}, held, []string{"3; it has 2 entries up to number 3"}},
		"a hole, and the counter before it":      {[]restoredRow{changed(row(0, 2), func(r *restoredRow) { r.last = 3 }), row(1, 3)}, held, []string{"2; it has 2 entries up to number 3"}},
		"half a transaction: no counter":         {[]restoredRow{changed(row(0, 3), func(r *restoredRow) { r.total = 2 }), row(1, 3)}, held, []string{"2; it has 3 entries"}},
		"half a transaction: no entry":           {[]restoredRow{changed(row(0, 2), func(r *restoredRow) { r.total = 3 }), row(1, 3)}, held, []string{"3; it has 2 entries"}},
		"an entry too late, behind the counter":  {[]restoredRow{changed(row(0, 3), func(r *restoredRow) { r.last = 4 }), row(1, 3)}, held, []string{"up to number 4", "transaction 4 is there"}},
		"a text is cut":                          {[]restoredRow{changed(row(0, 2), func(r *restoredRow) { r.length-- }), row(1, 3)}, held, []string{"texts of 1002 instead of 1003"}},
		"a writer is missing":                    {[]restoredRow{row(1, 3)}, held, []string{"writer 0 is missing", "1 writers instead of 2"}},
		"nothing at all":                         {nil, held, []string{"writer 0 is missing", "writer 1 is missing"}},
		"a writer too many":                      {[]restoredRow{row(0, 2), row(1, 3), row(2, 1)}, held, []string{"3 writers instead of 2"}},
		"the same writer twice":                  {[]restoredRow{row(0, 2), row(1, 3), row(1, 1)}, held, []string{"3 writers instead of 2"}},
		"written while it was held: it was not":  {[]restoredRow{row(0, 2), row(1, 3)}, heldSpan(at(10), at(20)), []string{"writer 0: transaction 2 is there"}},
		"acknowledged while it was held":         {[]restoredRow{row(0, 1), row(1, 1)}, heldSpan(at(11), at(21)), []string{"writer 0: transaction 2 was sent and acknowledged while the database was held"}},
		"two volumes cut at 20 and 43, not held": {[]restoredRow{row(0, 2), row(1, 2)}, heldSpan(at(20), at(43)), []string{"writer 0: transaction 3 was sent and", "up to 4 were acknowledged in time"}},
	} {
		err := prefixFaults(logs, c.rows, c.span)
		if len(c.faults) == 0 {
			require.NoError(t, err, name)
		}
		for _, fault := range c.faults {
			require.ErrorContains(t, err, fault, name)
		}
	}
}

func TestParseRows(t *testing.T) {
	t.Parallel()
	rows, err := parseRows("0\t2\t2\t2\t1003\n1\t0\t0\t0\t0")
	require.NoError(t, err)
	require.Equal(t, []restoredRow{{0, 2, 2, 2, 1003}, {1, 0, 0, 0, 0}}, rows)
	rows, err = parseRows("")
	require.NoError(t, err)
	require.Empty(t, rows)
	for _, text := range []string{"0\t2\t2\t2", "0\t2\t2\t2\t1003\t1", "0\tNULL\t2\t2\t1003", "ERROR: no such table", "\n"} {
		_, err := parseRows(text)
		require.Error(t, err, text)
	}
}
