package snapshot_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The Go code in the documentation is part of an example, which is run.
func TestDocumentedCodeIsOfAnExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/snapshots.md")
	require.NoError(t, err)
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(string(doc), -1)
	require.GreaterOrEqual(t, len(blocks), 2)
	for _, b := range blocks {
		code := "\t" + strings.ReplaceAll(strings.TrimSuffix(b[1], "\n"), "\n", "\n\t")
		require.Contains(t, string(examples), code)
	}
}
