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

// Field is an argument, an output or a field of an object.
type Field struct {
	Name, Doc string
	Type      Type
	// Required arguments must be present; all others are optional.
	Required bool
	// Default is the text of the default value; empty for none.
	Default string
	// Enum lists the allowed values, in lower case where any case is allowed; nil for any.
	Enum []string
	// Raw values are not rendered: the function reads the template text itself.
	Raw bool
	// Command marks what ends up on a command line.
	Command bool
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

// The kinds. Conversions from what blueprints in the field write are listed at each.
const (
	// String takes strings, numbers and booleans.
	String Kind = iota
	// Int takes integers, floats without fraction and decimal text.
	Int
	// Bool takes booleans and the texts true, false, 1, 0, yes, no, on and off.
	Bool
	// Duration takes text such as 1h30m.
	Duration
	// Words takes a text of names separated by white space, or a list.
	Words
	// List takes a list, a text that is a YAML list where the element is a string, or one scalar as its only element.
	List
	// Map takes a map with string keys, or a text that is a YAML map.
	Map
	// Object takes a map whose keys are the fields.
	Object
	// Any takes everything but null.
	Any
	// SecretText is a String that cannot be printed.
	SecretText
)
