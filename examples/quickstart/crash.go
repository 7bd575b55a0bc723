//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/davit-project/davit/engine"
)

// victimName is the name that the process to be killed is called by.
const victimName = "quickstart-victim"

// crashSeconds is how long the dump is made to take, so that there is time to watch.
const crashSeconds = 3

func crashRate(records uint64) int64 { return max(dumpSize(records)/crashSeconds, 1) }

// runAndDie lets another process begin the backup; it kills itself when a quarter of the dump has passed.
func (d *demo) runAndDie(ctx context.Context, options map[string]string) error {
	rate := options["maxRate"]
	d.report.say("   Another process begins it, slowed down to %s/s to leave time to watch:", size(crashRate(d.records)))
	child := exec.CommandContext(ctx, d.exe, d.dir, rate, strconv.FormatInt(dumpSize(d.records)/4, 10))
	child.Args[0] = victimName
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	err := child.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return fmt.Errorf("the other process should have been killed, but ended with: %w", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("the other process should have been killed, but ended with: %w", err)
	}
	journal, err := engine.ReadFile(d.journal("backup"))
	if err != nil {
		return err
	}
	events, err := journal.Events(ctx)
	if err != nil {
		return err
	}
	d.report.say("   Process %d is dead (%s). Its journal ends with %s.", child.Process.Pid, exit, events[len(events)-1].Kind)
	d.report.say("   The pod that dumps lives on. This process opens the journal and adopts it:")
	return nil
}

// ranOnce shows that the resumed run did not repeat the dump.
func (d *demo) ranOnce(ctx context.Context, result *engine.Result) error {
	dumps, err := d.number(ctx, "dumps")
	if err != nil {
		return err
	}
	if dumps != 1 {
		return fmt.Errorf("the database was dumped %d times", dumps)
	}
	for _, p := range result.Actions[0].Phases {
		if p.Attempts != 1 {
			return fmt.Errorf("phase %q took %d attempts", p.Name, p.Attempts)
		}
	}
	d.report.say("   The database was dumped once; no phase was repeated.")
	d.fact("crash", "killed in phase dump, resumed by another process; dumped once")
	return nil
}

// victim is the process that is killed.
func victim(args []string) error {
	if len(args) != 3 {
		return errors.New("want a folder, a rate and a number of bytes")
	}
	limit, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	r := newReport()
	r.moved = func(phase string, bytes int64) {
		if phase == "dump" && bytes >= limit {
			r.print("   killed at %s", size(bytes))
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	h, err := openHost(context.Background(), args[0], exe, r)
	if err != nil {
		return err
	}
	_, err = h.run(context.Background(), "backup", map[string]string{"maxRate": args[1]}, nil)
	return err
}
