package kubecluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"

	"github.com/davit-project/davit/cluster"
)

// maxStatus bounds the status of a command, in bytes.
const maxStatus = 64 << 10

var (
	// errNoStatus means that the connection ended in the middle.
	errNoStatus = errors.New("the connection was lost before the command's status came: how it ended is not known")
	errStatus   = errors.New("the server sent a status that cannot be read: how the command ended is not known")
)

// parseStatus reads the status that ends a command. Less than a whole one is none.
func parseStatus(data []byte) (metav1.Status, bool) {
	var s metav1.Status
	if len(data) > maxStatus || json.Unmarshal(data, &s) != nil {
		return s, false
	}
	return s, s.Status == metav1.StatusSuccess || s.Status == metav1.StatusFailure
}

// result turns a status into what Exec returns.
func (x *execution) result(data []byte) error {
	status, ok := parseStatus(data)
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", x.what, errStatus)
	case status.Status == metav1.StatusSuccess:
		return nil
	case status.Reason != remotecommand.NonZeroExitCodeReason:
		return fmt.Errorf("%s: exec: %s", x.what, brief(status.Message))
	}
	if status.Details != nil {
		for _, cause := range status.Details.Causes {
			code, err := strconv.ParseUint(cause.Message, 10, 8)
			if cause.Type == remotecommand.ExitCodeCauseType && err == nil && code != 0 {
				return &cluster.ExitError{What: x.what, Code: int(code), Tail: x.tail.String()}
			}
		}
	}
	return fmt.Errorf("%s: %w", x.what, errStatus)
}
