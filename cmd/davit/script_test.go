package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"davit": main, agentName: main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_STATE_HOME", env.WorkDir+"/state")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // each command would wait a second at its end
			env.Setenv("PROFILE", `{"Location":{"type":"file","bucket":"`+env.WorkDir+`/store","endpoint":"","prefix":"","region":""},"Credential":{"Type":"","KeyPair":null,"Secret":null,"KopiaServerSecret":null},"SkipSSLVerify":false}`)
			return copyFirst(env.WorkDir)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":    code,
			"waitfor": waitfor,
		},
	})
}

// copyFirst puts the README's first blueprint into the folder "first", with a location of the test's own.
func copyFirst(dir string) error {
	target := filepath.Join(dir, "first")
	if err := os.Mkdir(target, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"app.yaml", "blueprint.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../examples/first", name))
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte("/tmp/davit-backups"), []byte(dir+"/store"))
		if err := os.WriteFile(filepath.Join(target, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// code runs a command and wants it to exit with a code: code 2 davit lint.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command…")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = exitCode(err)
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func exitCode(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err.Error()
	}
	return strconv.Itoa(exit.ExitCode())
}

// waitfor waits for a file that a process of this machine makes: waitfor started.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	deadline := time.After(5 * time.Minute)
	for tick := time.Tick(5 * time.Millisecond); ; {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		select {
		case <-tick:
		case <-deadline:
			ts.Fatalf("%s did not appear in time", args[0])
		}
	}
}
