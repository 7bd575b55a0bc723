// Package blueprints holds blueprints to run and to learn from, by application. Each is explained by the comments in it.
package blueprints

import "embed"

// Files holds APPLICATION/blueprint.yaml for each application.
//
//go:embed */blueprint.yaml
var Files embed.FS
