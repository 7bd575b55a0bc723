package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/blueprint"
)

// frameFlags are the flags of davit frame.
type frameFlags struct {
	action, hooks string
	opts          blueprint.FrameOptions
}

func (p *program) frameCommand() *cobra.Command {
	var f frameFlags
	cmd := &cobra.Command{
		Use:   "frame BLUEPRINT",
		Short: "Put the hooks of a blueprint around an action",
		Long: `Prints the blueprint with hooks around one of its actions: the phases of the hooks' action backupPrehook come first, those of backupPosthook after the phase that
--through names. Hooks that were written for the snapshots of a backup tool quiesce an action's own snapshots in this way.

Once a phase of the prehook has begun, those of the posthook run whatever happens: on failure, cancel and timeout, when --max-hold is over, and after a crash once the run is
resumed. What the hooks do must be harmless when it is done twice.

The blueprints may be the same; each file holds one, - is standard input. The result is JSON, which is YAML too: davit run --blueprint takes it.`,
		Example: `  davit frame snapshots.yaml --hooks postgres-hooks.yaml --through snapshots --max-hold 30s > framed.json
  davit run --blueprint framed.json --action backup --statefulset shop/db`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.frame(args[0], &f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.action, "action", "a", "backup", "`NAME` of the action")
	flags.StringVar(&f.hooks, "hooks", "", "`FILE` with the blueprint of the hooks (default the same blueprint)")
	flags.StringVar(&f.opts.Through, "through", "", "last `PHASE` that runs between the hooks (default the last one)")
	flags.StringVar(&f.opts.Prehook, "prehook", blueprint.BackupPrehook, "`NAME` of the action that quiesces")
	flags.StringVar(&f.opts.Posthook, "posthook", blueprint.BackupPosthook, "`NAME` of the action that lets go on")
	flags.DurationVar(&f.opts.MaxHold, "max-hold", 0, "longest time between the hooks, such as 30s; phases in between are stopped (default no bound)")
	return cmd
}

func (p *program) frame(file string, f *frameFlags) error {
	if f.opts.MaxHold < 0 {
		return fmt.Errorf("--max-hold %s is negative", f.opts.MaxHold)
	}
	files := []string{file}
	if f.hooks != "" && f.hooks != file {
		files = append(files, f.hooks)
	}
	var bps []*blueprint.Blueprint
	for _, name := range files {
		all, err := p.readBlueprints([]string{name})
		if err != nil {
			return err
		}
		if len(all) != 1 {
			return fmt.Errorf("%q holds %d blueprints, not one", name, len(all))
		}
		bps = append(bps, all[0])
	}
	framed, err := blueprint.Frame(bps[0], f.action, bps[len(bps)-1], &f.opts)
	if err != nil {
		return err
	}
	data, err := framed.JSON()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", out.Bytes())
	return err
}
