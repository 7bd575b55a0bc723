package main

import (
	"github.com/spf13/cobra"

	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/location/all"
)

// agentName is the name by which Kanister's blueprints call the agent.
const agentName = "kando"

// agentGroup holds the agent's commands; their exit codes are the agent's.
const agentGroup = "agent"

// addAgent mounts the agent's commands.
func (p *program) addAgent(root *cobra.Command) {
	root.AddGroup(
		&cobra.Group{ID: mainGroup, Title: "Commands:"},
		&cobra.Group{ID: agentGroup, Title: "Commands for use inside pods:"},
	)
	for _, c := range root.Commands() {
		c.GroupID = mainGroup
	}
	agent.AddCommands(root, p.streams())
	for _, c := range root.Commands() {
		if c.GroupID == "" {
			c.GroupID = agentGroup
		}
	}
}

func (p *program) streams() agent.Streams {
	return agent.Streams{In: p.stdin, Out: p.stdout, Err: p.stderr, Env: p.getenv, Openers: all.Openers()}
}

// ofAgent tells whether a command belongs to the agent.
func ofAgent(cmd *cobra.Command) bool {
	for ; cmd != nil; cmd = cmd.Parent() {
		if cmd.GroupID == agentGroup {
			return true
		}
	}
	return false
}
