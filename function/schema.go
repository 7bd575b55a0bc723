package function

// Schema describes a function: all that lint, documentation and editors need.
type Schema struct {
	Name, Doc, Version string
	// Deprecated says what to use instead; empty for a current function.
	Deprecated string
	// Example is a phase in YAML.
	Example  string
	Replay   Replay
	Runnable bool
	// Args in the order of the struct's fields.
	Args []Field
	// Outputs whose names are known; OpenOutputs is true when the container may add others of any name.
	Outputs     []Field
	OpenOutputs bool
}

// Arg returns the argument of that name.
func (s Schema) Arg(name string) (Field, bool) {
	for _, f := range s.Args {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// RawPath tells whether the value at a path from the arguments is not rendered: "conditions.anyOf[0].condition", list
// positions as [n], keys of maps by name.
func (s Schema) RawPath(path string) bool {
	return rawField(s.Args, path)
}

// Field is an argument, an output or a field of an object.
type Field struct {
	Name, Doc string
	Type      Type
	// Required arguments must be present; all others are optional. A required output is always there.
	Required bool
	// Default is the text of the default value; empty for none.
	Default string
	// Enum lists the allowed values; case does not matter, and the function gets the spelling of this list. Of a list's
	// elements where the field is a list. Nil for any.
	Enum []string
	// Raw values are not rendered: the function reads the template text itself.
	Raw bool
	// Command marks what ends up on a command line.
	Command bool
	// NonEmpty refuses an empty text, list or map.
	NonEmpty bool
	// YAML takes a text that is a YAML list or map too.
	YAML bool
}

// Type is the type of a field.
type Type struct {
	Kind Kind
	// Elem is the type of a List's or Map's values.
	Elem *Type
	// Fields are those of an Object.
	Fields []Field
}

// Kind is the closed list of types an argument can have.
type Kind int

// The kinds. Conversions from what blueprints in the field write are listed at each; there are no others.
const (
	// String takes strings, numbers (5 is "5") and booleans: true is "1" and false is "0", as in Kanister.
	String Kind = iota
	// Int takes integers, floats without fraction and decimal text.
	Int
	// Bool takes booleans, the numbers 1 and 0, and the texts true, false, 1, 0, yes, no, on and off in any case.
	Bool
	// Duration takes text such as 1h30m.
	Duration
	// Words takes a text of names separated by white space, or a list.
	Words
	// List takes a list, one scalar as its only element, or, where the field says YAML, a text that is a YAML list.
	List
	// Map takes a map with string keys or, where the field says YAML, a text that is a YAML map.
	Map
	// Object takes a map whose keys are the fields, and text as Map does.
	Object
	// Any takes everything but null.
	Any
	// SecretText is a String that cannot be printed.
	SecretText
	// Float takes numbers and decimal text.
	Float
)

// String is the kind's name in documentation: "text", "whole number".
func (k Kind) String() string {
	switch k {
	case String:
		return "text"
	case Int:
		return "whole number"
	case Bool:
		return "boolean"
	case Duration:
		return "duration"
	case Words:
		return "words"
	case List:
		return "list"
	case Map:
		return "map"
	case Object:
		return "object"
	case Any:
		return "any value"
	case SecretText:
		return "secret text"
	case Float:
		return "number"
	default:
		return "unknown kind"
	}
}
