package blueprint

import (
	"errors"
	"fmt"
	"slices"
)

// Released returns, for each phase, the positions of the phases that its Release names. It fails, with all faults, when one of them is not a later phase of the action,
// releases something itself, or is named twice, when there is a MaxHold without Release, and when the deferred phase has either.
func (a *Action) Released() ([][]int, error) {
	all := make([][]int, len(a.Phases))
	var errs []error
	for i := range a.Phases {
		var err error
		all[i], err = a.released(i)
		errs = append(errs, err)
	}
	if d := a.DeferPhase; d != nil && (len(d.Release) > 0 || d.MaxHold != 0) {
		errs = append(errs, errors.New("the deferPhase comes last: it has nothing to release"))
	}
	return all, errors.Join(errs...)
}

// released returns the positions of the phases that one phase releases.
func (a *Action) released(i int) ([]int, error) {
	p := a.Phases[i]
	if p.MaxHold < 0 || p.MaxHold > 0 && len(p.Release) == 0 {
		return nil, fmt.Errorf("phase %q has a maxHold but names no phase in release that ends the hold", p.Name)
	}
	var at []int
	var errs []error
	for k, name := range p.Release {
		later := slices.IndexFunc(a.Phases[i+1:], func(q *Phase) bool { return q.Name == name })
		switch {
		case name == "" || later < 0:
			errs = append(errs, fmt.Errorf("phase %q releases %q, which is no later phase of the action", p.Name, name))
			continue
		case slices.Contains(p.Release[:k], name):
			errs = append(errs, fmt.Errorf("phase %q releases %q twice", p.Name, name))
		case len(a.Phases[i+1+later].Release) > 0:
			errs = append(errs, fmt.Errorf("phase %q releases %q, which releases another phase itself", p.Name, name))
		}
		at = append(at, i+1+later)
	}
	return at, errors.Join(errs...)
}
