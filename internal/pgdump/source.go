package pgdump

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// errFormat means that an object is no dump.
var errFormat = errors.New("the object is no dump in plain SQL, nor a tar of them")

// eachFile calls f for every file of SQL in an object, which may be compressed: for itself, or for those in it if it is a tar. It reads the object to its end.
func eachFile(r io.Reader, f func(io.Reader) error) error {
	in := bufio.NewReaderSize(r, scanBuffer)
	packed := io.Reader(in)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("decompress: %w", err)
		}
		packed = unpacked
	}
	plain := bufio.NewReaderSize(packed, scanBuffer)
	if err := files(plain, f); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, plain); err != nil { // the end of a tar is before that of its stream
		return fmt.Errorf("read to the end: %w", err)
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

func files(plain *bufio.Reader, f func(io.Reader) error) error {
	const header, magicAt = 512, 257
	head, err := plain.Peek(header)
	if err != nil && err != io.EOF {
		return err
	}
	if bytes.HasPrefix(head, []byte("PGDMP")) {
		return fmt.Errorf("%w: it is in pg_dump's custom format", errFormat)
	}
	if len(head) < header || string(head[magicAt:magicAt+5]) != "ustar" {
		return f(plain)
	}
	archive := tar.NewReader(plain)
	for {
		entry, err := archive.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read the tar: %w", err)
		case entry.Typeflag == tar.TypeDir:
		case entry.Typeflag == tar.TypeReg && strings.HasSuffix(entry.Name, ".sql"): // the name is no path of ours, and is not used
			if err := f(archive); err != nil {
				return fmt.Errorf("%q in the tar: %w", entry.Name, err)
			}
		default:
			return fmt.Errorf("%w: the tar holds %q", errFormat, entry.Name)
		}
	}
}
