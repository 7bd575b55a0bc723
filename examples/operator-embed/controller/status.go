package controller

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
)

// maxText bounds the texts of a status, in bytes.
const maxText = 4 << 10

// Reasons of the condition Complete.
const (
	reasonWaiting     = "Waiting"     // for the blueprint, for the database, for its turn
	reasonRunning     = "Running"     //
	reasonCancelling  = "Cancelling"  //
	reasonInterrupted = "Interrupted" // the operator carries on by itself
	reasonComplete    = "Complete"
	reasonFailed      = "Failed"
	reasonCancelled   = "Cancelled"
	reasonJournalLost = "JournalLost"
)

// setCondition sets a condition, with as much of the message as a status should hold.
func setCondition(b *v1alpha1.Backup, kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: shorten(message), ObservedGeneration: b.Generation,
	})
}

// setWaiting says why nothing has begun yet.
func setWaiting(b *v1alpha1.Backup, message string) {
	b.Status.Phase, b.Status.Message = v1alpha1.Pending, shorten(message)
	setCondition(b, v1alpha1.CompleteCondition, metav1.ConditionUnknown, reasonWaiting, message)
}

// setResult makes the status say what the journal says. Note is what the running phase reports.
func setResult(b *v1alpha1.Backup, res *engine.Result, note string) {
	s := &b.Status
	s.StartTime = &metav1.Time{Time: res.Started}
	setCondition(b, v1alpha1.BlueprintValid, metav1.ConditionTrue, "Valid", "")
	switch res.State {
	case engine.Complete:
		s.Phase, s.Message = v1alpha1.Complete, ""
		setCondition(b, v1alpha1.CompleteCondition, metav1.ConditionTrue, reasonComplete, "")
	case engine.Failed:
		s.Phase, s.Message = v1alpha1.Failed, shorten(res.Err().Error())
		setCondition(b, v1alpha1.CompleteCondition, metav1.ConditionFalse, reasonFailed, s.Message)
	case engine.Cancelled:
		s.Phase, s.Message = v1alpha1.Cancelled, shorten(res.Err().Error())
		setCondition(b, v1alpha1.CompleteCondition, metav1.ConditionFalse, reasonCancelled, s.Message)
	default:
		s.Phase, s.Message = v1alpha1.Running, shorten(runningText(res, note))
		reason := reasonRunning
		if !b.DeletionTimestamp.IsZero() {
			reason = reasonCancelling
		}
		setCondition(b, v1alpha1.CompleteCondition, metav1.ConditionUnknown, reason, s.Message)
		return
	}
	s.CompletionTime = &metav1.Time{Time: res.Ended}
	s.Left = nil
	for _, what := range res.Left {
		s.Left = append(s.Left, shorten(what))
	}
	s.Artifacts = map[string]v1alpha1.Artifact{}
	for name, a := range res.Actions[0].Shown {
		s.Artifacts[name] = a.KeyValue
	}
}

// runningText says which phase is under way, or which is next.
func runningText(res *engine.Result, note string) string {
	phases := res.Actions[0].Phases
	for i, p := range phases {
		if p.State.Ended() {
			continue
		}
		text := fmt.Sprintf("phase %d of %d, %q (%s)", i+1, len(phases), p.Name, p.Func)
		if p.Attempts > 1 {
			text += fmt.Sprintf(", attempt %d", p.Attempts)
		}
		if note != "" {
			text += ": " + note
		}
		return text
	}
	return "cleaning up"
}

// progressText is what a phase reports, in one line.
func progressText(p function.Progress) string {
	text := p.Note
	if p.Bytes > 0 {
		text = strings.TrimSpace(fmt.Sprintf("%s %d MiB", text, p.Bytes>>20))
		if p.TotalBytes > 0 {
			text += fmt.Sprintf(" of %d MiB", p.TotalBytes>>20)
		}
	}
	return text
}

// shorten leaves out the middle of a long text: what failed stands at its beginning, why at its end.
func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	const half = maxText/2 - 4
	return strings.ToValidUTF8(text[:half], "") + " … " + strings.ToValidUTF8(text[len(text)-half:], "")
}

// runID is the id of the run of a Backup, and the name of its journal: that of the UID, because a name can come back.
func runID(b *v1alpha1.Backup) string { return cmp.Or(b.Status.RunID, "backup-"+string(b.UID)) }
