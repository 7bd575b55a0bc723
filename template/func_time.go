package template

import (
	"errors"
	"reflect"
	"strconv"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// All times are in UTC unless a zone is asked for: a run that goes on on another machine must render the same.
func timeFunctions() map[string]any {
	return map[string]any{
		"now":  func(r *renderer) time.Time { return r.t.now().UTC() },
		"ago":  ago,
		"date": date,
		"dateInZone": func(r *renderer, layout string, v any, zone string) (string, error) {
			return dateInZone(r, layout, v, zone)
		},
		"date_in_zone": dateInZone,
		"htmlDate":     func(r *renderer, v any) (string, error) { return date(r, time.DateOnly, v) },
		"htmlDateInZone": func(r *renderer, v any, zone string) (string, error) {
			return dateInZone(r, time.DateOnly, v, zone)
		},
		"dateModify": dateModify, "date_modify": dateModify, "mustDateModify": dateModify, "must_date_modify": dateModify,
		"toDate": toDate, "mustToDate": toDate,
		"unixEpoch":     func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) },
		"durationRound": durationRound,
	}
}

// moment is the time a value stands for: a time, seconds since 1970, or a text such as .Time. For anything else it is now, as in sprig.
func moment(r *renderer, v any) time.Time {
	switch v := v.(type) {
	case time.Time:
		return v
	case *time.Time:
		if v != nil {
			return *v
		}
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t
		}
	}
	if n := reflect.ValueOf(v); isInt(n.Kind()) {
		return time.Unix(n.Int(), 0)
	}
	return r.t.now()
}

func ago(r *renderer, v any) string {
	return r.t.now().Sub(moment(r, v)).Round(time.Second).String()
}

func date(r *renderer, layout string, v any) (string, error) {
	return moment(r, v).UTC().Format(layout), nil
}

func dateInZone(r *renderer, layout string, v any, zone string) (string, error) {
	if err := r.spend(len(layout)+4096, 0); err != nil { // a zone is read from a file
		return "", err
	}
	if zone == "Local" {
		zone = "UTC"
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return "", errors.New("the time zone is not known")
	}
	return moment(r, v).In(loc).Format(layout), nil
}

func dateModify(by string, t time.Time) (time.Time, error) {
	d, err := time.ParseDuration(by)
	if err != nil {
		return time.Time{}, errors.New("the first text is no duration such as -1h30m")
	}
	return t.Add(d), nil
}

func toDate(layout, s string) (time.Time, error) {
	t, err := time.Parse(layout, s)
	if err != nil {
		return time.Time{}, errors.New("the text is no time in this layout")
	}
	return t, nil
}

func durationRound(r *renderer, v any) string {
	if t, ok := v.(time.Time); ok {
		v = int64(r.t.now().Sub(t))
	}
	round, _ := sprig.GenericFuncMap()["durationRound"].(func(any) string)
	return round(v)
}
