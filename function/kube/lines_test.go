package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// written is what a lineWriter made of a text.
type written struct {
	Outputs  map[string]string
	Keys     []string
	Log      []string
	Progress []string
	Err      error
}

// feed writes the text in chunks whose lengths next returns.
func feed(l limits, text []byte, next func(left int) int) written {
	var got written
	o := newOutputs(l)
	w := &lineWriter{
		limits:   l,
		outputs:  o,
		log:      func(line []byte) { got.Log = append(got.Log, string(line)) },
		output:   func(key string) { got.Keys = append(got.Keys, key) },
		progress: func(done, total int64) { got.Progress = append(got.Progress, fmt.Sprintf("%d/%d", done, total)) },
	}
	for len(text) > 0 {
		n := next(len(text))
		if _, err := w.Write(text[:n]); err != nil {
			break
		}
		text = text[n:]
	}
	got.Err = w.Close()
	got.Outputs = o.all()
	return got
}

func whole(left int) int { return left }

func byteByByte(int) int { return 1 }

func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65536)
	for name, c := range map[string]struct {
		text string
		want written
	}{
		"nothing":        {text: ""},
		"log":            {text: "one\ntwo\n\n  three", want: written{Log: []string{"one", "two", "  three"}}},
		"carriage":       {text: "10%\r20%\r\ndone\r\n", want: written{Log: []string{"10%", "20%", "done"}}},
		"output":         {text: `###Phase-output###: {"key":"k","value":"a\"b\nc"}` + "\n", want: written{Outputs: map[string]string{"k": "a\"b\nc"}, Keys: []string{"k"}}},
		"dos output":     {text: `###Phase-output###: {"key":"k","value":"v"}` + "\r\n", want: written{Outputs: map[string]string{"k": "v"}, Keys: []string{"k"}}},
		"no blank":       {text: `###Phase-output###:{"key":"k","value":"v"}`, want: written{Outputs: map[string]string{"k": "v"}, Keys: []string{"k"}}},
		"in a line":      {text: `hello ###Phase-output###: {"key":"k","value":"v"}`, want: written{Log: []string{"hello"}, Outputs: map[string]string{"k": "v"}, Keys: []string{"k"}}},
		"empty value":    {text: `###Phase-output###: {"key":"k","value":""}`, want: written{Outputs: map[string]string{"k": ""}, Keys: []string{"k"}}},
		"last wins":      {text: "###Phase-output###: {\"key\":\"k\",\"value\":\"1\"}\n###Phase-output###: {\"key\":\"k\",\"value\":\"2\"}\n", want: written{Outputs: map[string]string{"k": "2"}, Keys: []string{"k", "k"}}},
		"extra field":    {text: `###Phase-output###: {"key":"k","value":"v","type":7}`, want: written{Outputs: map[string]string{"k": "v"}, Keys: []string{"k"}}},
		"empty rest":     {text: "###Phase-output###:  \nx\n", want: written{Log: []string{"x"}}},
		"line of 64 KiB": {text: long + "\nnext\n", want: written{Log: []string{long, "next"}}},
		"output of k times 64 KiB": {
			text: sized(2*65536) + "\nnext\n",
			want: written{Outputs: map[string]string{"k": strings.Repeat("v", 2*65536-len(sized(0)))}, Keys: []string{"k"}, Log: []string{"next"}},
		},
		"marker after 64 KiB": {
			text: long + "###Phase-output###: {\"key\":\"k\",\"value\":\"v\"}\n",
			want: written{Log: []string{long[:65536-18], long[:18]}, Outputs: map[string]string{"k": "v"}, Keys: []string{"k"}},
		},
		"cut at a blank": {
			text: strings.Repeat("y", 65000) + " " + strings.Repeat("z", 1000),
			want: written{Log: []string{strings.Repeat("y", 65000) + " ", strings.Repeat("z", 1000)}},
		},
		"progress":          {text: "###Phase-progress###: {\"bytes\":5,\"total\":9}\n###Phase-progress###: {\"bytes\":6}\n", want: written{Progress: []string{"5/9", "6/0"}}},
		"bad progress":      {text: "###Phase-progress###: {\"bytes\":-5}", want: written{Log: []string{"###Phase-progress###: {\"bytes\":-5}"}}},
		"no progress":       {text: "###Phase-progress###: 7", want: written{Log: []string{"###Phase-progress###: 7"}}},
		"a marker, cut off": {text: "###Phase-output##", want: written{Log: []string{"###Phase-output##"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, feed(defaultLimits(), []byte(c.text), whole))
			require.Equal(t, c.want, feed(defaultLimits(), []byte(c.text), byteByByte))
		})
	}
}

// sized returns an output line of that length, or the shortest one.
func sized(length int) string {
	const frame = `###Phase-output###: {"key":"k","value":"%s"}`
	return fmt.Sprintf(frame, strings.Repeat("v", max(0, length-len(frame)+2)))
}

func TestLinesMalformed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want error
		says string
	}{
		"no JSON":       {`###Phase-output###: hunter2`, ErrOutputSyntax, "no JSON at byte 1"},
		"two markers":   {`###Phase-output###: {"key":"k","value":"hunter2"} ###Phase-output###: {}`, ErrOutputSyntax, "no JSON"},
		"number":        {`###Phase-output###: {"key":"k","value":42}`, ErrOutputSyntax, "found number"},
		"object":        {`###Phase-output###: {"key":"k","value":{"a":"hunter2"}}`, ErrOutputSyntax, "found object"},
		"list":          {`###Phase-output###: ["hunter2"]`, ErrOutputSyntax, "found array"},
		"no key":        {`###Phase-output###: {"value":"hunter2"}`, ErrOutputSyntax, `"key" is missing`},
		"empty key":     {`###Phase-output###: {"key":"","value":"hunter2"}`, ErrOutputSyntax, `"key" is missing`},
		"no value":      {`###Phase-output###: {"key":"k"}`, ErrOutputSyntax, `"value" of key "k" is missing`},
		"null":          {`###Phase-output###: null`, ErrOutputSyntax, `"key" is missing`},
		"not UTF-8":     {"###Phase-output###: {\"key\":\"k\",\"value\":\"hunter2\xff\"}", ErrOutputSyntax, "not UTF-8"},
		"long key":      {`###Phase-output###: {"key":"` + strings.Repeat("k", 257) + `","value":"hunter2"}`, ErrOutputTooLarge, "257 bytes"},
		"long value":    {`###Phase-output###: {"key":"k","value":"` + strings.Repeat("hunter2", 150_000) + `"}`, ErrOutputTooLarge, `key "k" has 1050000 bytes`},
		"long line":     {`###Phase-output###: {"key":"k","value":"` + strings.Repeat("hunter2", 300_000) + `"}`, ErrOutputTooLarge, "a line of more than 2097152 bytes"},
		"unending line": {`###Phase-output###: {"key":"k","value":"` + strings.Repeat("hunter2", 300_000), ErrOutputTooLarge, "a line of more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := feed(defaultLimits(), []byte("before\n"+c.text+"\nafter\n"), whole)
			require.ErrorIs(t, got.Err, c.want)
			require.ErrorContains(t, got.Err, c.says)
			require.NotContains(t, got.Err.Error(), "hunter2")
			require.Empty(t, got.Outputs)
			require.Equal(t, []string{"before"}, got.Log, "an output line is never logged")
		})
	}
}

func TestOutputsBounds(t *testing.T) {
	t.Parallel()
	l := limits{key: 10, value: 10, total: 20, keys: 3}
	o := newOutputs(l)
	require.NoError(t, o.set("a", "123456789"))
	require.NoError(t, o.set("b", "123456789"))
	require.ErrorIs(t, o.set("c", ""), ErrOutputTooLarge, "21 bytes")
	require.NoError(t, o.set("b", "1"), "a smaller value makes room")
	require.NoError(t, o.set("c", ""))
	require.ErrorIs(t, o.set("d", ""), ErrOutputTooLarge, "a fourth key")
	require.ErrorIs(t, newOutputs(limits{value: 10, total: 5, keys: 1}).merge(o), ErrOutputTooLarge)
}

func TestLinesAfterFailure(t *testing.T) {
	t.Parallel()
	w := &lineWriter{limits: defaultLimits(), outputs: newOutputs(defaultLimits())}
	_, err := w.Write([]byte("###Phase-output###: no\n"))
	require.ErrorIs(t, err, ErrOutputSyntax)
	_, err = w.Write([]byte("###Phase-output###: {\"key\":\"k\",\"value\":\"v\"}\n"))
	require.ErrorIs(t, err, ErrOutputSyntax)
	require.ErrorIs(t, w.Close(), ErrOutputSyntax)
	require.ErrorIs(t, w.failed(), ErrOutputSyntax)
}

func TestLinesWithoutOutputs(t *testing.T) {
	t.Parallel()
	var logged []string
	w := &lineWriter{limits: defaultLimits(), log: func(line []byte) { logged = append(logged, string(line)) }}
	long := strings.Repeat("hunter2", 1<<20)
	_, err := w.Write([]byte("a ###Phase-output###: " + long + "\nb\n"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.Equal(t, []string{"a", ignoredOutput, "b"}, logged)
	require.LessOrEqual(t, cap(w.buf), 2*w.limits.logLine)
}

// reference says what a lineWriter must make of a text, in the simplest way: all of it at once. Log lines are joined
// where they are cut.
func reference(l limits, text string) written {
	var got written
	o := newOutputs(l)
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		before, after, marked := strings.Cut(line, outputMarker)
		if !marked {
			if strings.TrimSpace(line) != "" {
				got.Log = append(got.Log, line)
			}
			continue
		}
		if strings.TrimSpace(before) != "" {
			got.Log = append(got.Log, strings.TrimSpace(before))
		}
		if len(after) > l.outputLine {
			got.Err = ErrOutputTooLarge
			return got
		}
		if after = strings.TrimSpace(after); after == "" {
			continue
		}
		key, err := o.parse([]byte(after))
		if err != nil {
			got.Err = err
			return got
		}
		got.Keys, got.Outputs = append(got.Keys, key), o.all()
	}
	return got
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb###Phase-output###: {\"key\":\"k\",\"value\":\"v\"}\nc\r\n"), uint64(1))
	f.Add([]byte("###Phase-###Phase-output###:{\"key\":\"k\",\"value\":\"v\"}"), uint64(2))
	f.Add([]byte(strings.Repeat("long ", 40)+"###Phase-output###: {\"key\":\"k\",\"value\":\"v\"}\n"), uint64(3))
	f.Add([]byte(strings.Repeat("#", 200)+"###Phase-output###:\n###Phase-output###: {"), uint64(4))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if bytes.Contains(text, []byte(progressMarker)) {
			return
		}
		l := limits{logLine: 64, outputLine: 128, key: 16, value: 64, total: 100, keys: 4}
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // chunk lengths need no secrecy
		got := feed(l, text, func(left int) int { return 1 + random.IntN(min(left, 90)) })
		want := reference(l, string(text))
		require.Equal(t, want.Outputs, got.Outputs)
		require.Equal(t, want.Keys, got.Keys)
		require.Equal(t, want.Err == nil, got.Err == nil)
		if want.Err != nil {
			require.Equal(t, errors.Is(want.Err, ErrOutputSyntax), errors.Is(got.Err, ErrOutputSyntax), "%v, want %v", got.Err, want.Err)
		}
		blankless := strings.NewReplacer(" ", "", "\t", "", "\v", "", "\f", "")
		all := blankless.Replace(strings.Join(got.Log, ""))
		require.Equal(t, blankless.Replace(strings.Join(want.Log, "")), all)
		for _, line := range got.Log {
			require.LessOrEqual(t, len(line), l.logLine)
		}
	})
}

func TestTail(t *testing.T) {
	t.Parallel()
	mask := func(s string) string { return strings.ReplaceAll(s, "secret", "[masked]") }
	var tl tail
	require.Empty(t, tl.text(mask))
	for i := range 5000 {
		tl.add(fmt.Appendf(nil, "line %d secret", i))
	}
	text := tl.text(mask)
	require.True(t, strings.HasPrefix(text, "line 4990 [masked]\n"), text)
	require.True(t, strings.HasSuffix(text, "line 4999 [masked]"), text)

	tl.add(bytes.Repeat([]byte("ö"), 100_000))
	text = tl.text(mask)
	require.LessOrEqual(t, len(text), tailBytes)
	require.Greater(t, len(text), tailBytes-4)
	require.Empty(t, strings.Trim(text, "ö"))
}

// BenchmarkLines reads a log of 1 MiB with an output in it.
func BenchmarkLines(b *testing.B) {
	value, err := json.Marshal(map[string]string{"key": "k", "value": "v"})
	require.NoError(b, err)
	text := append(bytes.Repeat([]byte("an ordinary line of a log, sixty-four bytes with its line feed\n"), 1<<14), []byte(outputMarker+string(value)+"\n")...)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		w := &lineWriter{limits: defaultLimits(), outputs: newOutputs(defaultLimits()), log: func([]byte) {}, output: func(string) {}}
		for chunk := range slices.Chunk(text, 32<<10) {
			_, err := w.Write(chunk)
			require.NoError(b, err)
		}
		require.NoError(b, w.Close())
	}
}
