package arrows

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

const module = "github.com/davit-project/davit"

// graph maps the path of each package to what it imports directly, without its tests.
type graph map[string][]string

// check compares the graph with the table and returns every fault.
func check(g graph) []error {
	var faults []error
	for _, pkg := range slices.Sorted(maps.Keys(g)) {
		name, ours := cut(pkg)
		if !ours {
			continue
		}
		allowed, known := table[name]
		if !known && !matches(tops, name) {
			faults = append(faults, fmt.Errorf("%s is not in the table of %s/internal/arrows: say there what it may import", name, module))
			continue
		}
		for _, imported := range g[pkg] {
			to, ours := cut(imported)
			if !ours || matches(tops, name) || !matches(tops, to) && matches(allowed, to) {
				continue
			}
			faults = append(faults, fmt.Errorf("%s imports %s, which the table does not allow", name, to))
		}
	}
	return append(faults, weights(g)...)
}

// weights returns a fault for each core package that reaches a heavy one, with the way that leads there.
func weights(g graph) []error {
	free := reach(g, exempt)
	var faults []error
	for _, name := range core {
		ways := reach(g, module+"/"+name)
		for _, pkg := range slices.Sorted(maps.Keys(ways)) {
			if _, ok := free[pkg]; !ok && isHeavy(pkg) {
				faults = append(faults, fmt.Errorf("%s reaches %s: %s", name, pkg, way(ways, pkg)))
			}
		}
	}
	return faults
}

// reach returns all that from needs, itself included, each with the package that first led to it.
func reach(g graph, from string) map[string]string {
	if _, ok := g[from]; !ok {
		return nil
	}
	by := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, imported := range g[queue[0]] {
			if _, seen := by[imported]; !seen {
				by[imported] = queue[0]
				queue = append(queue, imported)
			}
		}
	}
	return by
}

func way(by map[string]string, to string) string {
	steps := []string{to}
	for by[to] != "" {
		to = by[to]
		steps = append(steps, to)
	}
	slices.Reverse(steps)
	return strings.Join(steps, " -> ")
}

func isHeavy(pkg string) bool {
	return slices.ContainsFunc(heavy, func(h string) bool { return pkg == h || strings.HasPrefix(pkg, h+"/") })
}

func cut(pkg string) (name string, ours bool) {
	return strings.CutPrefix(pkg, module+"/")
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}
