package blueprint

import (
	"slices"
	"strconv"
	"strings"
)

// suggest is `; did you mean "x"?` for the candidate that is nearest to name, or nothing when none is near.
func suggest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		d := near(strings.ToLower(name), strings.ToLower(c))
		if d < bestDistance || d == bestDistance && best == "" {
			best, bestDistance = c, d
		}
	}
	if best == "" || len(name) > 100 {
		return ""
	}
	return "; did you mean " + strconv.Quote(best) + "?"
}

// near is the distance, or less than any when the two begin alike: inputArtifacts and inputArtifactNames.
func near(a, b string) int {
	shared := 0
	for shared < min(len(a), len(b)) && a[shared] == b[shared] {
		shared++
	}
	if a != b && shared >= 4 && shared*5 >= min(len(a), len(b))*4 {
		return 0
	}
	return distance(a, b)
}

// distance is the number of characters to insert, delete or replace to turn a into b.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
