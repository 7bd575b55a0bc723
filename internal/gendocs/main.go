// Command gendocs writes the generated documents: docs/functions.md from the schemas of the built-in functions, docs/lint.md from the codes
// of lint. Run it in the repository's root.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
)

// documents by their path from the root.
var documents = map[string]func() ([]byte, error){
	"docs/functions.md": func() ([]byte, error) {
		reg, err := function.NewRegistry(builtin.All(builtin.Deps{})...)
		if err != nil {
			return nil, fmt.Errorf("the built-in functions: %w", err)
		}
		return render(reg.Schemas()), nil
	},
	"docs/lint.md": func() ([]byte, error) { return renderCodes(blueprint.Codes()), nil },
}

func main() {
	check := flag.Bool("check", false, "write nothing; fail when a file is stale")
	flag.Parse()
	if err := run(".", *check, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// run writes the files below root, or compares them with what it would write.
func run(root string, check bool, out io.Writer) error {
	var errs []error
	for path, make := range documents {
		want, err := make()
		if err == nil {
			err = write(filepath.Join(root, path), want, check, out)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func write(path string, want []byte, check bool, out io.Writer) error {
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && bytes.Equal(have, want) {
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
