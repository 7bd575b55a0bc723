//go:build unix

package localcluster

import (
	"time"
)

// getPod returns a pod as an object, with its status.
func (c *Cluster) getPod(namespace, name string) (map[string]any, error) {
	p, err := c.findPod(namespace, name)
	if err != nil {
		return nil, err
	}
	obj := map[string]any{}
	if err := convert(p.pod, &obj); err != nil {
		return nil, err
	}
	obj["apiVersion"], obj["kind"] = "v1", "Pod"
	s := p.status()
	phase, ready := "Pending", "False"
	switch {
	case s.finished, s.lost:
		phase = "Succeeded"
		for _, ct := range p.pod.Spec.Containers {
			if code, ok := s.codes[ct.Name]; !ok || code != 0 {
				phase = "Failed"
			}
		}
	case s.running:
		phase, ready = "Running", "True"
	case s.alive && s.begun && p.has("running"):
		phase = "Running"
	}
	var containers []any
	for _, ct := range p.pod.Spec.Containers {
		state := map[string]any{"waiting": map[string]any{"reason": "PodInitializing"}}
		code, ended := s.codes[ct.Name]
		switch {
		case ended:
			reason := "Completed"
			if code != 0 {
				reason = "Error"
			}
			state = map[string]any{"terminated": map[string]any{"exitCode": float64(code), "reason": reason}}
		case phase == "Running":
			state = map[string]any{"running": map[string]any{"startedAt": p.started().UTC().Format(time.RFC3339)}}
		}
		containers = append(containers, map[string]any{"name": ct.Name, "ready": phase == "Running" && !ended, "restartCount": float64(0), "state": state})
	}
	condition := func(kind string) map[string]any { return map[string]any{"type": kind, "status": ready} }
	obj["status"] = map[string]any{"phase": phase, "containerStatuses": containers,
		"conditions": []any{condition("ContainersReady"), condition("Ready")}}
	return obj, nil
}
