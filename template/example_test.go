package template_test

import (
	"errors"
	"fmt"

	"github.com/davit-project/davit/template"
)

func ExampleEnv_Compile() {
	var env *template.Env // nil: the built-in functions and limits
	t, err := env.Compile("actions.backup.phases[0].args.path", `backups/{{ .StatefulSet.Name }}/{{ .Time | date "2006-01-02" }}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := t.Render(&template.Params{StatefulSet: &template.Workload{Name: "db"}, Time: "2026-08-21T10:20:30Z"})
	fmt.Println(out, err)

	_, err = t.Render(&template.Params{})
	fmt.Println(err)
	fmt.Println(errors.Is(err, template.ErrMissing))
	// Output:
	// backups/db/2026-08-21 <nil>
	// actions.backup.phases[0].args.path: .StatefulSet.Name: the subject of the run is no StatefulSet
	// true
}

func ExampleEnv_CompileValue() {
	env := &template.Env{Funcs: map[string]any{"greet": func(who string) string { return "hello " + who }}}
	v, err := env.CompileValue("args", map[string]any{"text": `{{ greet .Namespace.Name }}`, "replicas": 3, "none": nil}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := v.Render(&template.Params{Namespace: &template.Namespace{Name: "app"}})
	fmt.Println(out, err)
	// Output: map[none:<nil> replicas:3 text:hello app] <nil>
}

func ExampleTemplate_References() {
	t, err := (*template.Env)(nil).Compile("command", `{{ $dump := .Phases.dump }}{{ if .Options.verbose }}-v{{ end }} {{ $dump.Output.path }}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ref := range t.References() {
		fmt.Println(ref.Line, ref.Column, ref.Path, ref.Printed)
	}
	// Output:
	// 1 13 [Phases dump] false
	// 1 34 [Options verbose] false
	// 1 68 [Phases dump Output path] true
}

func ExampleCheckPath() {
	fmt.Println(template.CheckPath([]string{"Phases", "dump", "Output", "path"}))
	fmt.Println(template.CheckPath([]string{"Profile", "Locaton", "Bucket"}))
	// Output:
	// <nil>
	// there is no .Profile.Locaton (did you mean .Profile.Location?)
}
