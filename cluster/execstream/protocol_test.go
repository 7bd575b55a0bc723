package execstream_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
)

// fake is a far end in Go: it gets the nonce of the call.
type fake func(ctx context.Context, nonce string, cmd cluster.Command) error

func (f fake) Exec(ctx context.Context, cmd cluster.Command) error { return f(ctx, cmd.Args[4], cmd) }

// says sends these chunks, with the nonce for NONCE, and waits for the acknowledgement.
func says(chunks ...string) fake {
	return func(ctx context.Context, nonce string, cmd cluster.Command) error {
		for _, c := range chunks {
			if _, err := io.WriteString(cmd.Stdout, strings.ReplaceAll(c, "NONCE", nonce)); err != nil {
				return err
			}
		}
		ack := make(chan string, 1)
		go func() {
			line, _ := io.ReadAll(cmd.Stdin)
			ack <- string(line)
		}()
		select {
		case line := <-ack:
			if line != nonce+"\n" {
				return fmt.Errorf("no acknowledgement but %q", line)
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ends sends the chunks and ends at once.
func ends(err error, chunks ...string) fake {
	return func(_ context.Context, nonce string, cmd cluster.Command) error {
		for _, c := range chunks {
			_, _ = io.WriteString(cmd.Stdout, strings.ReplaceAll(c, "NONCE", nonce))
		}
		return err
	}
}

func sumOf(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

var abc = sumOf([]byte("abc"))

func readFake(t *testing.T, f fake) (string, execstream.Result, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := cluster.Command{Namespace: "ns", Pod: "p", Args: []string{"true"}, Stdout: &out}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := execstream.Read(ctx, f, cmd, nil)
	return out.String(), res, err
}

func TestTrailersThatAreGood(t *testing.T) {
	for name, f := range map[string]fake{
		"the shell's":           says("abc", "NONCE code=0 tool=0 tool=0 sum="+abc+"\n"),
		"the agent's":           says("abc", "NONCE code=0 length=3 sum="+abc+"\n"),
		"in one chunk":          says("abcNONCE code=0 sum=" + abc + "\n"),
		"in single bytes":       says(strings.Split("abc", "")...).then("NONCE code=0 sum=" + abc + "\n"),
		"in any order":          says("a", "bc", "NONCE sum="+abc+"  code=0", " length=3", "\n"),
		"an empty chunk behind": says("abcNONCE code=0 sum="+abc+"\n", ""),
	} {
		t.Run(name, func(t *testing.T) {
			out, res, err := readFake(t, f)
			require.NoError(t, err)
			require.Equal(t, "abc", out)
			require.Equal(t, execstream.Result{Bytes: 3, SHA256: abc}, res)
		})
	}
}

// then sends text byte by byte after what f sends.
func (f fake) then(text string) fake {
	return func(ctx context.Context, nonce string, cmd cluster.Command) error {
		before := cmd
		before.Stdin = strings.NewReader(nonce + "\n")
		if err := f(ctx, nonce, before); err != nil {
			return err
		}
		for _, b := range []byte(strings.ReplaceAll(text, "NONCE", nonce)) {
			if _, err := cmd.Stdout.Write([]byte{b}); err != nil {
				return err
			}
		}
		return says()(ctx, nonce, cmd)
	}
}

func TestTrailersThatAreBad(t *testing.T) {
	lost := errors.New("connection reset")
	good := "abcNONCE code=0 sum=" + abc + "\n"
	for name, tc := range map[string]struct {
		f    fake
		want error
		text string
	}{
		"none":                   {ends(nil, "abc"), execstream.ErrTruncated, "pod ns/p: the output ended after 3 bytes, without a trailer"},
		"none, nor output":       {ends(nil), execstream.ErrTruncated, "the output ended after 0 bytes"},
		"half of one":            {ends(nil, "abcNONCE code=0 sum="), execstream.ErrTruncated, "after 3 bytes, without a trailer"},
		"none, with a code":      {ends(&cluster.ExitError{Code: 137}, "abc"), execstream.ErrTruncated, "the far end ended with exit code 137 after 3 bytes"},
		"none, connection lost":  {ends(lost, "abc"), lost, "stream ended after 3 bytes: connection reset"},
		"never began":            {ends(&cluster.ExitError{Code: 127}), cluster.ErrInvalid, "the far end did not start (exit code 127)"},
		"cut stream":             {says("ab", "NONCE code=0 sum="+abc+"\n"), execstream.ErrCorrupt, "the 2 bytes that arrived have another checksum"},
		"cut stream and length":  {says("ab", "NONCE code=0 length=3 sum="+abc+"\n"), execstream.ErrTruncated, "2 of 3 bytes arrived"},
		"longer than told":       {says("abcd", "NONCE code=0 length=3 sum="+abc+"\n"), execstream.ErrCorrupt, "another checksum"},
		"a byte more":            {ends(nil, "abc", "NNONCE code=0 sum="+abc+"\n"), execstream.ErrCorrupt, "another checksum"},
		"cut, and a code":        {says("ab", "NONCE code=3 sum="+abc+"\n"), execstream.ErrCorrupt, "another checksum"},
		"something behind":       {says(good + "d"), execstream.ErrCorrupt, "1 bytes after its trailer"},
		"something later":        {says(good, "later"), execstream.ErrCorrupt, "5 bytes after its trailer"},
		"a second one":           {says(good, good), execstream.ErrCorrupt, "after its trailer"},
		"no end":                 {says("NONCE" + strings.Repeat("x", 1000)), execstream.ErrCorrupt, "more than 256 bytes"},
		"a late end":             {says("NONCE" + strings.Repeat("x", 1000) + "\n"), execstream.ErrCorrupt, "more than 256 bytes"},
		"an endless trickle":     {says(append([]string{"NONCE"}, strings.Split(strings.Repeat("x", 1000), "")...)...), execstream.ErrCorrupt, "more than 256 bytes"},
		"unknown field":          {says("abcNONCE code=0 sum=" + abc + " more=1\n"), execstream.ErrCorrupt, `field "more=1"`},
		"no number":              {says("abcNONCE code=zero sum=" + abc + "\n"), execstream.ErrCorrupt, `field "code=zero"`},
		"a negative one":         {says("abcNONCE code=-1 sum=" + abc + "\n"), execstream.ErrCorrupt, `field "code=-1"`},
		"two codes":              {says("abcNONCE code=0 code=0 sum=" + abc + "\n"), execstream.ErrCorrupt, `field "code=0"`},
		"two sums":               {says("abcNONCE code=0 sum=" + abc + " sum=" + abc + "\n"), execstream.ErrCorrupt, "field"},
		"no sum":                 {says("abcNONCE code=0 tool=0 sum=\n"), cluster.ErrInvalid, "the container needs tee"},
		"no code":                {says("abcNONCE tool=0 sum=" + abc + "\n"), cluster.ErrInvalid, "the container needs tee"},
		"tee that failed":        {says("abcNONCE code=0 tool=1 tool=0 sum=" + abc + "\n"), cluster.ErrInvalid, "the container needs tee"},
		"nothing but the nonce":  {says("abcNONCE\n"), cluster.ErrInvalid, "the container needs tee"},
		"the field of the input": {says("abcNONCE damaged=1\n"), cluster.ErrInvalid, "the container needs tee"},
	} {
		t.Run(name, func(t *testing.T) {
			_, res, err := readFake(t, tc.f)
			require.ErrorIs(t, err, tc.want)
			require.ErrorContains(t, err, tc.text)
			require.Zero(t, res)
			require.NotErrorAs(t, err, new(*cluster.ExitError), "that would be the command's")
		})
	}
}

// Data that looks like the trailer, or a part of it, is data.
func TestDataLikeATrailer(t *testing.T) {
	f := fake(func(ctx context.Context, nonce string, cmd cluster.Command) error {
		text := nonce[:25] + nonce[:25] + nonce[:13] + "NONCE code=0 sum=" + abc + "\n" + nonce[1:] + nonce[:20]
		for _, size := range []int{1, 7, 25, 26, 1000} {
			for part := range slices.Chunk([]byte(text), size) {
				if _, err := cmd.Stdout.Write(part); err != nil {
					return err
				}
			}
		}
		return says(nonce+" code=0 sum="+sumOf([]byte(strings.Repeat(text, 5)))+"\n")(ctx, nonce, cmd)
	})
	_, res, err := readFake(t, f)
	require.NoError(t, err)
	require.Positive(t, res.Bytes)
}

// What happens to the exec after a good trailer changes nothing, but it must end.
func TestAcknowledgementThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chunk := "abcNONCE code=0 sum=" + abc + "\n"
		for name, after := range map[string]func(ctx context.Context) error{
			"exit code":       func(context.Context) error { return &cluster.ExitError{Code: 1} },
			"connection lost": func(context.Context) error { return io.ErrClosedPipe },
			"no end": func(ctx context.Context) error {
				<-ctx.Done()
				return context.Cause(ctx)
			},
		} {
			begin := time.Now()
			res, err := execstream.Read(t.Context(), fake(func(ctx context.Context, nonce string, cmd cluster.Command) error {
				_ = ends(nil, chunk)(ctx, nonce, cmd)
				return after(ctx)
			}), cluster.Command{Args: []string{"true"}}, nil)
			require.NoError(t, err, name)
			require.Equal(t, int64(3), res.Bytes)
			require.LessOrEqual(t, time.Since(begin), 10*time.Second)
		}
	})
}

// A command that is ended because its standard error cannot be written may say that all is well.
func TestStandardErrorThatCannotBeWritten(t *testing.T) {
	good := "abcNONCE code=0 sum=" + abc + "\n"
	for _, errs := range []io.Writer{&full{}, short{}} {
		_, err := execstream.Read(t.Context(), fake(func(ctx context.Context, nonce string, cmd cluster.Command) error {
			_, err := io.WriteString(cmd.Stderr, "why")
			require.Error(t, err)
			return ends(nil, good)(ctx, nonce, cmd)
		}), cluster.Command{Args: []string{"true"}, Stderr: errs}, nil)
		require.ErrorContains(t, err, "write the standard error of the command: ")
	}
}

// An exec that goes on writing after it has returned reaches nobody.
func TestOutputAfterTheEnd(t *testing.T) {
	var out bytes.Buffer
	var late io.Writer
	_, err := execstream.Read(t.Context(), fake(func(_ context.Context, _ string, cmd cluster.Command) error {
		late = cmd.Stdout
		return nil
	}), cluster.Command{Args: []string{"true"}, Stdout: &out}, nil)
	require.ErrorIs(t, err, execstream.ErrTruncated)
	_, err = late.Write([]byte("late"))
	require.Error(t, err)
	require.Empty(t, out.String())
}

// The verdicts of Write that a working far end does not give.
func TestTrailersOfWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"damaged":             {"NONCE code=0 damaged=1\n", execstream.ErrCorrupt},
		"damaged, and a code": {"NONCE code=143 damaged=1\n", execstream.ErrCorrupt},
		"another sum":         {"NONCE code=0 rest=0 sum=" + sumOf(nil) + "\n", execstream.ErrCorrupt},
		"a smaller length":    {"NONCE code=0 rest=0 length=2 sum=" + abc + "\n", execstream.ErrTruncated},
		"input left":          {"NONCE code=0 rest=1 tool=141 sum=" + sumOf(nil) + "\n", execstream.ErrTruncated},
		"no tee":              {"NONCE code=0 rest=0 tool=127 sum=" + sumOf(nil) + "\n", cluster.ErrInvalid},
		"no dd":               {"NONCE tool=1\n", cluster.ErrInvalid},
		"output":              {"output\n", execstream.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := cluster.Command{Namespace: "ns", Pod: "p", Args: []string{"cat"}, Stdin: strings.NewReader("abc")}
			res, err := execstream.Write(t.Context(), fake(func(ctx context.Context, nonce string, cmd cluster.Command) error {
				want := "3\nabc0 " + abc + "\n"
				got := make([]byte, len(want))
				_, err := io.ReadFull(cmd.Stdin, got)
				require.NoError(t, err)
				require.Equal(t, want, string(got))
				return says(tc.text)(ctx, nonce, cmd)
			}), cmd, nil)
			require.ErrorIs(t, err, tc.want)
			require.Zero(t, res)
		})
	}
	cmd := cluster.Command{Args: []string{"cat"}, Stdin: zeros{}}
	_, err := execstream.Write(t.Context(), says("NONCE code=0 rest=0 tool=0 sum="+abc+"\n"), cmd, nil)
	require.ErrorIs(t, err, execstream.ErrTruncated, "it says that all is well before all was sent")
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

var errFull = errors.New("the disk is full")

// full takes some bytes and fails then.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

type short struct{}

func (short) Write(p []byte) (int, error) { return len(p) - 1, nil }
