package agent

import (
	"encoding/json"
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// outputMarker begins the line of a phase output; Kanister's format.
const outputMarker = "###Phase-output###: "

var outputKey = regexp.MustCompile(`^[a-zA-Z0-9_]+$`)

func outputCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "output KEY VALUE",
		Short: "Prints a phase output, for the phases after this one",
		Long: "Prints a phase output, for the phases after this one.\n\n" +
			"A value that may begin with a hyphen, such as a number, goes behind --: output KEY -- VALUE",
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
			if _, err := fmt.Fprintf(s.Out, "%s%s\n", outputMarker, text); err != nil {
				return fmt.Errorf("print the output %s: %w", key, err)
			}
			return nil
		},
	}
}
