package rehearsal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// item is a row of the table items. Everything in it follows from its id.
type item struct {
	id            int
	name, note    string
	amount, ratio string
	flag          bool
	moment        time.Time
	payload       []byte
	// repeated is how often the payload stands in the row: it has one of many mebibytes.
	repeated int
	doc      string
	// noNote and noPayload are NULL.
	noNote, noPayload bool
}

// bigID is the item with a payload of bigRepeats times 64 KiB: more than a MariaDB takes in one statement once it is written as text.
const (
	bigID      = 50
	bigRepeats = 192
)

// words have what dumps get wrong: quotes, backslashes, line ends, tabs, several scripts, characters beyond 16 bits, and what looks like SQL.
var words = []string{
	"plain", "it's", `"quoted"`, `back\slash`, `\N`, `\.`, "tab\there", "line\nbreak", "carriage\r\nreturn", "naïve", "Ω≈ç√", "日本語", "😀🏴‍☠️", "e\u0301", "\u200b",
	"'); DROP TABLE items; --", "-- Dump completed", "$1", "%s", "`", "\x1a", "\x7f", "",
}

// makeItem returns the item of this id, the same at every call.
func makeItem(id int, nul bool) item {
	noise := rand.New(rand.NewPCG(uint64(id), 1)) //nolint:gosec // the same at every call
	i := item{
		id: id, name: words[id%len(words)] + " " + strconv.Itoa(id), flag: id%3 == 0,
		amount: fmt.Sprintf("%d.%06d", noise.Int64N(2e12)-1e12, noise.IntN(1e6)),
		ratio:  strconv.FormatFloat(float64(id)/3+0.1, 'f', -1, 64),
		moment: time.Date(1970+id%100, 2, 28, id%24, id%60, noise.IntN(60), noise.IntN(1e6)*1000, time.UTC),
		noNote: id%7 == 0, noPayload: id%5 == 1, repeated: 1,
	}
	note := make([]string, noise.IntN(12))
	if id%997 == 0 {
		note = make([]string, 20000) // about 150 KiB
	}
	for k := range note {
		note[k] = words[noise.IntN(len(words))]
	}
	i.note = strings.Join(note, " ")
	if nul && id%11 == 0 {
		i.note += "\x00end"
	}
	i.payload = make([]byte, noise.IntN(600))
	if id == bigID {
		i.payload, i.repeated, i.noPayload = make([]byte, 64<<10), bigRepeats, false
	}
	for k := range i.payload {
		i.payload[k] = byte(noise.Uint32())
	}
	i.doc = fmt.Sprintf(`{"id": %d,  "word": %q}`, id, []string{"a", "ü", "日"}[id%3])
	return i
}

// values are those of an INSERT.
func (i *item) values(db *Database) string {
	note, payload := db.text(i.note), db.bytes(i.payload)
	if i.noNote {
		note = "NULL"
	}
	if i.repeated > 1 {
		payload = db.repeated(i.payload, i.repeated)
	}
	if i.noPayload {
		payload = "NULL"
	}
	return fmt.Sprintf("(%d, %s, %s, %s, %s, %t, '%s', '%s', %s, %s)", i.id, db.text(i.name), note, i.amount, i.ratio, i.flag,
		i.moment.Format(time.DateOnly), i.moment.Format("2006-01-02 15:04:05.000000"), payload, "'"+i.doc+"'")
}

// line is what Database.items selects: text in hex, so that every byte is seen, and the SHA-256 of the payload.
func (i *item) line() string {
	note, flag := hex.EncodeToString([]byte(i.note)), 0
	if i.noNote {
		note = "-"
	}
	if i.flag {
		flag = 1
	}
	h := sha256.New()
	for range i.repeated {
		h.Write(i.payload)
	}
	payload := fmt.Sprintf("%d:%x", len(i.payload)*i.repeated, h.Sum(nil))
	if i.noPayload {
		payload = "-"
	}
	return fmt.Sprintf("%d\t%x\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%x", i.id, i.name, note, i.amount, i.ratio, flag,
		i.moment.Format(time.DateOnly), i.moment.Format("2006-01-02 15:04:05.000000"), payload, i.doc)
}

// entry is the text of row n of the ledger.
func entry(n int) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(n)))) }

// Load fills the table items.
func (r *Rehearsal) Load(ctx context.Context) error {
	const batch = 100
	pr, pw := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(pw, 1<<20)
		for id := 1; id <= r.opts.Rows; id++ {
			i := makeItem(id, r.db.nul)
			before, after := ",\n", ""
			if id%batch == 1 {
				before = "INSERT INTO items VALUES\n"
			}
			if id%batch == 0 || id == r.opts.Rows {
				after = ";\n"
			}
			if _, err := io.WriteString(out, before+i.values(r.db)+after); err != nil {
				return // the reader has gone, and says why
			}
		}
		_ = pw.CloseWithError(out.Flush())
	}()
	err := r.exec(ctx, r.client(shop), pr, nil)
	return errors.Join(err, pr.Close())
}

// Comparison is what a database was found to hold.
type Comparison struct {
	// Items is how many there are, all of which are what was written.
	Items int
	// Ledger is how many transactions of the writer there are: the first ones, without a gap.
	Ledger int
}

// Compare compares every row with what was written: all items are there, byte for byte, none is too many, and the ledger is that of one moment.
func (r *Rehearsal) Compare(ctx context.Context) (*Comparison, error) {
	c, total := &Comparison{}, -1
	err := r.lines(ctx, r.db.items, func(line string) error {
		want := makeItem(c.Items+1, r.db.nul)
		if line != want.line() {
			return fmt.Errorf("item %d differs:\nread  %.300s\nwrote %.300s", want.id, line, want.line())
		}
		c.Items++
		return nil
	})
	if err != nil {
		return c, err
	}
	if c.Items != r.opts.Rows {
		return c, fmt.Errorf("there are %d items, %d were written", c.Items, r.opts.Rows)
	}
	err = r.lines(ctx, r.db.ledger, func(line string) (err error) {
		if text, ok := strings.CutPrefix(line, "total\t"); ok {
			total, err = strconv.Atoi(text)
			return err
		}
		if want := fmt.Sprintf("%d\t%s", c.Ledger+1, entry(c.Ledger+1)); line != want {
			return fmt.Errorf("the ledger has %q, want %q", line, want)
		}
		c.Ledger++
		return nil
	})
	if err == nil && total != c.Ledger {
		err = fmt.Errorf("the ledger has %d rows, its counter says %d: they are not of one moment", c.Ledger, total)
	}
	return c, err
}

// lines calls each with every row that a query gives.
func (r *Rehearsal) lines(ctx context.Context, query string, each func(string) error) error {
	l := &lines{each: each}
	if err := r.sql(ctx, shop, query, l); err != nil {
		return errors.Join(l.err, err)
	}
	if len(l.rest) > 0 {
		return fmt.Errorf("the last row is cut off: %.100q", l.rest)
	}
	return nil
}

// lines calls each with every whole line that is written to it.
type lines struct {
	each func(string) error
	rest []byte
	err  error
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		if l.err = l.each(string(line)); l.err != nil {
			return 0, l.err
		}
		l.rest = rest
	}
}
