package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/function"
)

func (p *program) functionsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "functions [NAME]",
		Short: "List the functions that phases can call, or describe one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, names []string) error {
			reg, err := registry("")
			if err != nil {
				return err
			}
			schemas := reg.Schemas()
			if len(names) > 0 {
				schemas = slices.DeleteFunc(slices.Clone(schemas), func(s function.Schema) bool { return s.Name != names[0] })
				if len(schemas) == 0 {
					return fmt.Errorf("no function %q: davit functions lists all", names[0])
				}
			}
			switch {
			case asJSON:
				return printSchemasJSON(p.stdout, schemas)
			case len(names) > 0:
				return describe(p.stdout, schemas)
			default:
				return list(p.stdout, schemas)
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array of the schemas")
	return cmd
}

func list(w io.Writer, schemas []function.Schema) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "NAME\tVERSION\tAFTER A CRASH\tWHAT IT DOES")
	for _, s := range schemas {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", s.Name, s.Version, replay(s), s.Doc)
	}
	return tw.Flush()
}

// replay says what becomes of a call whose outcome a crash hid.
func replay(s function.Schema) string {
	if !s.Runnable {
		return "not built in"
	}
	return s.Replay.String()
}

func describe(w io.Writer, schemas []function.Schema) error {
	var b strings.Builder
	for i, s := range schemas {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s %s\n%s\n", s.Name, s.Version, s.Doc)
		if s.Deprecated != "" {
			fmt.Fprintf(&b, "Deprecated: %s\n", s.Deprecated)
		}
		if s.Runnable {
			fmt.Fprintf(&b, "After a crash: %s\n", s.Replay)
		} else {
			b.WriteString("Not built in: blueprints that call it can be checked, not run.\n")
		}
		describeFields(&b, "Arguments", s.Args, argNotes)
		describeFields(&b, "Outputs", s.Outputs, func(function.Field) string { return "" })
		if s.OpenOutputs {
			b.WriteString("\nThe command may add outputs of any name.\n")
		}
		if s.Example != "" {
			fmt.Fprintf(&b, "\nExample:\n%s\n", indent(strings.TrimRight(s.Example, "\n"), "  "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func describeFields(b *strings.Builder, title string, fields []function.Field, notes func(function.Field) string) {
	if len(fields) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	writeFields(tw, "  ", fields, notes)
	_ = tw.Flush() // a builder takes everything
}

func writeFields(w io.Writer, margin string, fields []function.Field, notes func(function.Field) string) {
	for _, f := range fields {
		_, _ = fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\n", margin, f.Name, typeName(f.Type), notes(f), f.Doc)
		writeFields(w, margin+"  ", fieldsOf(f.Type), notes)
	}
}

// argNotes says whether an argument must be given, what it is otherwise and what it can be.
func argNotes(f function.Field) string {
	var notes []string
	if f.Required {
		notes = append(notes, "required")
	}
	if f.Default != "" {
		notes = append(notes, "default "+f.Default)
	}
	if len(f.Enum) > 0 {
		notes = append(notes, "one of "+strings.Join(f.Enum, ", "))
	}
	return strings.Join(notes, ", ")
}

// fieldsOf returns the fields of an object, also of one in a list or map.
func fieldsOf(t function.Type) []function.Field {
	for t.Elem != nil {
		t = *t.Elem
	}
	return t.Fields
}

func typeName(t function.Type) string {
	switch t.Kind {
	case function.List:
		return "list of " + elemName(t)
	case function.Map:
		return "map of " + elemName(t)
	default:
		return t.Kind.String()
	}
}

func elemName(t function.Type) string {
	if t.Elem == nil {
		return function.Any.String()
	}
	return typeName(*t.Elem)
}

// schemaJSON is the JSON of a schema.
type schemaJSON struct {
	Name        string      `json:"name"`
	Version     string      `json:"version"`
	Doc         string      `json:"doc"`
	Deprecated  string      `json:"deprecated,omitempty"`
	Replay      string      `json:"replay"`
	Runnable    bool        `json:"runnable"`
	Args        []fieldJSON `json:"args"`
	Outputs     []fieldJSON `json:"outputs"`
	OpenOutputs bool        `json:"openOutputs"`
	Example     string      `json:"example,omitempty"`
}

type fieldJSON struct {
	Name     string      `json:"name"`
	Type     string      `json:"type"`
	Doc      string      `json:"doc"`
	Required bool        `json:"required"`
	Default  string      `json:"default,omitempty"`
	Enum     []string    `json:"enum,omitempty"`
	Fields   []fieldJSON `json:"fields,omitempty"`
}

func printSchemasJSON(w io.Writer, schemas []function.Schema) error {
	all := []schemaJSON{}
	for _, s := range schemas {
		all = append(all, schemaJSON{
			Name: s.Name, Version: s.Version, Doc: s.Doc, Deprecated: s.Deprecated,
			Replay: s.Replay.String(), Runnable: s.Runnable,
			Args: toJSON(s.Args), Outputs: toJSON(s.Outputs), OpenOutputs: s.OpenOutputs,
			Example: s.Example,
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}

func toJSON(fields []function.Field) []fieldJSON {
	all := []fieldJSON{}
	for _, f := range fields {
		all = append(all, fieldJSON{
			Name: f.Name, Type: typeName(f.Type), Doc: f.Doc, Required: f.Required,
			Default: f.Default, Enum: f.Enum, Fields: toJSON(fieldsOf(f.Type)),
		})
	}
	return all
}

func indent(text, margin string) string {
	return margin + strings.ReplaceAll(text, "\n", "\n"+margin)
}
