package agent

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/cluster"
)

// outputMarker begins the line of a phase output; Kanister's format.
const outputMarker = "###Phase-output###: "

var outputKey = regexp.MustCompile(`^[a-zA-Z0-9_]+$`)

func outputCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "output KEY VALUE",
		Short: "Prints a phase output, for the phases after this one",
		Long: "Prints a phase output, for the phases after this one.\n\n" +
			"A value that may begin with a hyphen, such as a number, goes behind --: output KEY -- VALUE\n\n" +
			"Where " + cluster.ResultsEnv + " names a file, the line is added to it too, as long as the file stays within " + strconv.Itoa(cluster.ResultsSize) + "\n" +
			"bytes, so that a log that loses it does not lose the output.",
		Args: exactly(2, "a key and a value"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, value := args[0], args[1]
			if !outputKey.MatchString(key) {
				return usage("the key must be of letters, digits and underscores, at least one")
			}
			if !utf8.ValidString(value) {
				return usage("the value of %s is not UTF-8: encode it, for example with base64", key)
			}
			text, err := json.Marshal(struct {
				Key   string `json:"key"`
				Value string `json:"value"`
			}{key, value})
			if err != nil {
				return err
			}
			line := outputMarker + string(text) + "\n"
			if _, err := fmt.Fprint(s.Out, line); err != nil {
				return fmt.Errorf("print the output %s: %w", key, err)
			}
			if err := addResult(s.Env(cluster.ResultsEnv), line); err != nil { // it is printed: that is what counts
				fmt.Fprintf(s.Err, "the output %s is not in the file of %s: %s\n", key, cluster.ResultsEnv, oneLine(err.Error()))
			}
			return nil
		},
	}
}
