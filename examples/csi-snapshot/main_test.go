package main

import (
	"context"
	"fmt"
)

// Without a cluster, the storage is in memory.
func Example() {
	if err := run(context.Background(), nil); err != nil {
		fmt.Println(err)
	}
	// Output:
	// backup is complete
	//   it can be restored to a claim of at least 1Gi
	// restore is complete
	// delete is complete
}
