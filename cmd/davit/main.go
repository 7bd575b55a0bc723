package main

import (
	"context"
	"os"
)

func main() {
	p := &program{
		args:       os.Args,
		getenv:     os.Getenv,
		stdin:      os.Stdin,
		stdout:     os.Stdout,
		stderr:     os.Stderr,
		interrupts: interrupts,
		executable: os.Executable,
		exit:       os.Exit,
	}
	os.Exit(p.main(context.Background()))
}
