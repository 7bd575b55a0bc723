// Command gendocs writes docs/functions.md from the schemas of the built-in functions. Run it in the repository's root.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
)

const target = "docs/functions.md"

func main() {
	check := flag.Bool("check", false, "write nothing; fail when the file is stale")
	flag.Parse()
	if err := run(target, *check, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// run writes the file, or compares it with what it would write.
func run(path string, check bool, out io.Writer) error {
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{})...)
	if err != nil {
		return fmt.Errorf("the built-in functions: %w", err)
	}
	want := render(reg.Schemas())
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if bytes.Equal(have, want) {
		return nil
	}
	if check {
		return fmt.Errorf("%s is stale; run: go run ./internal/gendocs", path)
	}
	if err := os.WriteFile(path, want, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s\n", path)
	return nil
}
