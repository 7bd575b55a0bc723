package rds

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// thing is an object of the scripted RDS.
type thing struct {
	kind, id, status string
	// next are the states that the following looks show, one each; "" is gone.
	next []string
	// hidden is for how many looks it is not found yet.
	hidden                                             int
	engine, version, class, cluster, subnet, of, shape string
	groups, members                                    []string
	public, protected                                  bool
	tags                                               map[string]string
	// account is that of a snapshot of another account.
	account   string
	encrypted bool
	// has are the properties that RDS shows, by the names of its parameters; changing are those it will have once next is over.
	has, changing map[string]string
}

// The kinds of things.
const (
	instanceKind        = "DBInstance"
	clusterKind         = "DBCluster"
	snapshotKind        = "DBSnapshot"
	clusterSnapshotKind = "DBClusterSnapshot"
)

// world is an RDS that speaks its protocol and that takes its time: every change of a state takes some looks.
type world struct {
	mu     sync.Mutex
	things map[string]*thing
	// slow is for how many looks a change lasts, unseen for how many looks what was just made is not found.
	slow, unseen int
	// subnets maps subnet groups to their networks.
	subnets map[string]string
	// families are the families of the parameter and option groups that there are.
	families map[string]string
	// refuses are parameters that the world does not take.
	refuses []string
	// fault may answer in place of the world: a code, and whether the request is done all the same.
	fault func(action, id string, nth int) (code string, done bool)
	// becomes may choose the state that something ends in. Empty for the usual one.
	becomes func(kind, id string) string
	// keeps is the code of an RDS that cannot keep automated backups; kept tells whose it has kept.
	keeps string
	kept  map[string]bool
	// calls are the requests so far: "Action id".
	calls []string
	// headers are those of the requests.
	headers []http.Header
}

func newWorld() *world {
	return &world{things: map[string]*thing{}, kept: map[string]bool{}, slow: 2, unseen: 1, subnets: map[string]string{"default": "vpc-1", "other": "vpc-2"}}
}

func (w *world) put(x *thing) *thing {
	if x.tags == nil {
		x.tags = map[string]string{}
	}
	if x.has == nil {
		x.has = map[string]string{}
	}
	w.things[x.kind+"/"+x.id] = x
	return x
}

func (w *world) get(kind, id string) *thing {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.things[kind+"/"+id]
}

// all returns the identifiers of the things of a kind.
func (w *world) all(kind string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for _, x := range w.things {
		if x.kind == kind {
			ids = append(ids, x.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// count returns how many requests there were of an action.
func (w *world) count(action string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if strings.HasPrefix(c, action+" ") {
			n++
		}
	}
	return n
}

// changes returns the requests that were no looks.
func (w *world) changes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.calls), func(c string) bool { return strings.HasPrefix(c, "Describe") })
}

// RoundTrip answers without a network.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, req)
	return rec.Result(), nil
}

func (w *world) serve(t *testing.T) string {
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	return s.URL
}

func (w *world) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	form, _ := url.ParseQuery(string(body))
	action := form.Get("Action")
	w.mu.Lock()
	defer w.mu.Unlock()
	id := firstOf(form, "DBSnapshotIdentifier", "DBClusterSnapshotIdentifier", "DBInstanceIdentifier", "DBClusterIdentifier", "DBSubnetGroupName", "ResourceName")
	if strings.HasPrefix(action, "Restore") {
		id = firstOf(form, "DBInstanceIdentifier", "DBClusterIdentifier")
	}
	w.calls = append(w.calls, action+" "+id)
	w.headers = append(w.headers, req.Header.Clone())
	code, done := "", true
	if w.fault != nil {
		nth := 0
		for _, c := range w.calls {
			if c == action+" "+id {
				nth++
			}
		}
		if code, done = w.fault(action, id, nth); code == "" {
			done = true
		}
	}
	answer, failure := "", ""
	if done && w.takes(form) {
		answer, failure = w.do(action, form)
	}
	if !w.takes(form) {
		failure = "InvalidParameterCombination"
	}
	if code != "" {
		failure = code
	}
	if failure == "" {
		fmt.Fprintf(rw, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", action, answer)
		return
	}
	status := http.StatusBadRequest
	if failure == "InternalFailure" {
		status = http.StatusInternalServerError
	}
	rw.WriteHeader(status)
	// AWS repeats parts of the request in some of its answers
	fmt.Fprintf(rw, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>scripted; %s; %s</Message></Error><RequestId>r</RequestId></ErrorResponse>",
		failure, req.Header.Get("X-Amz-Security-Token"), req.Header.Get("Authorization"))
}

func firstOf(form url.Values, names ...string) string {
	for _, n := range names {
		if form.Get(n) != "" {
			return form.Get(n)
		}
	}
	return ""
}

func tagsIn(form url.Values) map[string]string {
	tags := map[string]string{}
	for i := 1; form.Has("Tags.Tag." + strconv.Itoa(i) + ".Key"); i++ {
		at := "Tags.Tag." + strconv.Itoa(i)
		tags[form.Get(at+".Key")] = form.Get(at + ".Value")
	}
	return tags
}

func listIn(form url.Values, name string) []string {
	var list []string
	for i := 1; form.Has(name + "." + strconv.Itoa(i)); i++ {
		list = append(list, form.Get(name+"."+strconv.Itoa(i)))
	}
	return list
}

// do is one request.
func (w *world) do(action string, form url.Values) (answer, failure string) {
	kind := ""
	for _, k := range []string{clusterSnapshotKind, snapshotKind, clusterKind, instanceKind} {
		if strings.Contains(action, k) {
			kind = k
			break
		}
	}
	switch {
	case action == "DescribeDBSubnetGroups":
		name := form.Get("DBSubnetGroupName")
		if w.subnets[name] == "" {
			return "", "DBSubnetGroupNotFoundFault"
		}
		return el("DBSubnetGroups", el("DBSubnetGroup", el("DBSubnetGroupName", name)+el("VpcId", w.subnets[name]))), ""
	case strings.HasSuffix(action, "Groups"):
		return w.group(action, form)
	case strings.HasPrefix(action, "Modify"):
		return w.modify(kind, form)
	case strings.HasPrefix(action, "Describe"):
		return w.describe(kind, form.Get(kind+"Identifier"))
	case action == "CreateDBSnapshot", action == "CreateDBClusterSnapshot":
		return w.snapshot(kind, form)
	case action == "RestoreDBInstanceFromDBSnapshot":
		return w.restore(instanceKind, snapshotKind, form.Get("DBSnapshotIdentifier"), form)
	case action == "RestoreDBClusterFromSnapshot":
		return w.restore(clusterKind, clusterSnapshotKind, form.Get("SnapshotIdentifier"), form)
	case action == "CreateDBInstance":
		return w.member(form)
	case strings.HasPrefix(action, "Delete"):
		return w.remove(kind, form.Get(kind+"Identifier"), form)
	case strings.HasSuffix(action, "Resource"):
		return w.retag(form)
	}
	return "", "InvalidAction"
}

// notFoundCode is the code that RDS gives for an unknown object.
func notFoundCode(kind string) string {
	switch kind {
	case clusterKind:
		return "DBClusterNotFoundFault"
	case clusterSnapshotKind:
		return "DBClusterSnapshotNotFoundFault"
	}
	return kind + "NotFound"
}

func (w *world) describe(kind, id string) (answer, failure string) {
	x := w.things[kind+"/"+id]
	if x == nil {
		return "", notFoundCode(kind)
	}
	if x.hidden > 0 {
		x.hidden--
		return "", notFoundCode(kind)
	}
	if len(x.next) > 0 {
		x.status, x.next = x.next[0], x.next[1:]
	}
	if len(x.next) == 0 {
		x.apply()
	}
	if x.status == "" {
		delete(w.things, kind+"/"+id)
		return "", notFoundCode(kind)
	}
	return el(kind+"s", w.render(x)), ""
}

// begin lets something go through a state to another.
func (w *world) begin(x *thing, through, to string) {
	if w.becomes != nil && to != "" {
		if other := w.becomes(x.kind, x.id); other != "" {
			to = other
		}
	}
	x.status, x.next = through, append(slices.Repeat([]string{through}, w.slow), to)
}

func (w *world) snapshot(kind string, form url.Values) (answer, failure string) {
	of := strings.TrimSuffix(kind, "Snapshot")
	ofKind := map[string]string{"DB": instanceKind, "DBCluster": clusterKind}[of]
	from := w.things[ofKind+"/"+form.Get(ofKind+"Identifier")]
	id := form.Get(kind + "Identifier")
	switch {
	case from == nil:
		return "", notFoundCode(ofKind)
	case w.things[kind+"/"+id] != nil:
		return "", kind + "AlreadyExists"
	case from.status != "available":
		if len(from.next) > 0 {
			from.status, from.next = from.next[0], from.next[1:]
		}
		return "", map[string]string{"DB": "InvalidDBInstanceState", "DBCluster": "InvalidDBClusterStateFault"}[of]
	}
	if !validTags(tagsIn(form)) {
		return "", "InvalidParameterValue"
	}
	x := w.put(&thing{kind: kind, id: id, engine: from.engine, version: from.version, of: from.id, tags: tagsIn(form), hidden: w.unseen})
	w.begin(x, "creating", "available")
	return w.render(x), ""
}

func (w *world) restore(kind, fromKind, fromID string, form url.Values) (answer, failure string) {
	from := w.things[fromKind+"/"+fromID]
	id := form.Get(kind + "Identifier")
	switch {
	case from == nil:
		return "", notFoundCode(fromKind)
	case from.status != "available":
		return "", "Invalid" + fromKind + "State"
	case w.things[kind+"/"+id] != nil:
		return "", kind + "AlreadyExistsFault"
	case w.subnets[form.Get("DBSubnetGroupName")] == "":
		return "", "DBSubnetGroupNotFoundFault"
	case !validTags(tagsIn(form)):
		return "", "InvalidParameterValue"
	case !w.knowsGroups(form):
		return "", "DBParameterGroupNotFound"
	}
	x := w.put(&thing{kind: kind, id: id, engine: from.engine, version: from.version, of: from.id, subnet: form.Get("DBSubnetGroupName"),
		groups: listIn(form, "VpcSecurityGroupIds.VpcSecurityGroupId"), public: form.Get("PubliclyAccessible") == "true", tags: tagsIn(form), hidden: w.unseen,
		shape: form.Get("ServerlessV2ScalingConfiguration.MinCapacity") + ":" + form.Get("ServerlessV2ScalingConfiguration.MaxCapacity"),
		class: cmp.Or(form.Get("DBInstanceClass"), from.class), has: properties(form)})
	w.begin(x, "creating", "available")
	return w.render(x), ""
}

func (w *world) member(form url.Values) (answer, failure string) {
	c := w.things[clusterKind+"/"+form.Get("DBClusterIdentifier")]
	id := form.Get("DBInstanceIdentifier")
	switch {
	case c == nil:
		return "", "DBClusterNotFoundFault"
	case w.things[instanceKind+"/"+id] != nil:
		return "", "DBInstanceAlreadyExists"
	case !validTags(tagsIn(form)):
		return "", "InvalidParameterValue"
	case !w.knowsGroups(form):
		return "", "DBParameterGroupNotFound"
	}
	c.members = append(c.members, id)
	x := w.put(&thing{kind: instanceKind, id: id, engine: c.engine, class: form.Get("DBInstanceClass"), cluster: c.id, tags: tagsIn(form), hidden: w.unseen,
		public: form.Get("PubliclyAccessible") == "true", has: properties(form)})
	w.begin(x, "creating", "available")
	return w.render(x), ""
}

func (w *world) remove(kind, id string, form url.Values) (answer, failure string) {
	x := w.things[kind+"/"+id]
	switch {
	case x == nil:
		return "", notFoundCode(kind)
	case x.status == "creating" || x.status == "deleting":
		if x.status == "creating" && len(x.next) > 0 {
			x.status, x.next = x.next[0], x.next[1:]
		}
		return "", "Invalid" + kind + "State"
	case x.protected:
		return "", "InvalidParameterCombination"
	case strings.HasSuffix(kind, "Snapshot"):
	case form.Get("SkipFinalSnapshot") != "true":
		return "", "InvalidParameterCombination"
	}
	for _, m := range x.members {
		if i := w.things[instanceKind+"/"+m]; i != nil && i.cluster == x.id && i.status != "deleting" {
			return "", "InvalidDBClusterStateFault"
		}
	}
	if form.Get("DeleteAutomatedBackups") == "false" {
		if w.keeps != "" {
			return "", w.keeps
		}
		w.kept[id] = true
	}
	w.begin(x, "deleting", "")
	return w.render(x), ""
}

func (w *world) retag(form url.Values) (answer, failure string) {
	for _, x := range w.things {
		if arn(x) != form.Get("ResourceName") {
			continue
		}
		if x.account != "" {
			return "", "AccessDenied"
		}
		for k, v := range tagsIn(form) {
			x.tags[k] = v
		}
		for _, k := range listIn(form, "TagKeys.member") {
			delete(x.tags, k)
		}
		if !validTags(x.tags) {
			return "", "InvalidParameterValue"
		}
		return "", ""
	}
	return "", "InvalidParameterValue"
}

func arn(x *thing) string {
	return "arn:aws:rds:eu-west-1:" + cmp.Or(x.account, "1") + ":" + x.kind + ":" + x.id
}

func el(name, content string) string { return "<" + name + ">" + content + "</" + name + ">" }

// render is the XML of something.
func (w *world) render(x *thing) string {
	var b bytes.Buffer
	b.WriteString(el(x.kind+"Identifier", x.id) + el(x.kind+"Arn", arn(x)) + el("Engine", x.engine) + el("EngineVersion", x.version))
	b.WriteString(el(map[bool]string{true: "DBInstanceStatus", false: "Status"}[x.kind == instanceKind], x.status))
	groups, tags, members := "", "", ""
	for _, g := range x.groups {
		groups += el("VpcSecurityGroupMembership", el("VpcSecurityGroupId", g))
	}
	for k, v := range x.tags {
		tags += el("Tag", el("Key", k)+el("Value", v))
	}
	for i, m := range x.members {
		if w.things[instanceKind+"/"+m] != nil {
			members += el("DBClusterMember", el("DBInstanceIdentifier", m)+el("IsClusterWriter", strconv.FormatBool(i == len(x.members)-1))+el("PromotionTier", strconv.Itoa(i)))
		}
	}
	b.WriteString(el("VpcSecurityGroups", groups) + el("TagList", tags) + el("DeletionProtection", strconv.FormatBool(x.protected)))
	switch x.kind {
	case instanceKind:
		b.WriteString(el("DBInstanceClass", x.class) + el("PubliclyAccessible", strconv.FormatBool(x.public)) + x.renderProperties())
		b.WriteString(el("DBSubnetGroup", el("DBSubnetGroupName", x.subnet)+el("VpcId", w.subnets[x.subnet])))
		b.WriteString(el("Endpoint", el("Address", x.id+".example")+el("Port", cmp.Or(x.has["Port"], "5432"))))
		if x.cluster != "" {
			b.WriteString(el("DBClusterIdentifier", x.cluster))
		}
	case clusterKind:
		b.WriteString(el("DBSubnetGroup", x.subnet) + el("DBClusterMembers", members) + x.renderProperties())
		if x.shape != "" && x.shape != ":" {
			least, most, _ := strings.Cut(x.shape, ":")
			b.WriteString(el("ServerlessV2ScalingConfiguration", el("MinCapacity", least)+el("MaxCapacity", most)))
		}
	default:
		b.WriteString(el("SnapshotType", cmp.Or(x.shape, "manual")) + el(map[bool]string{true: "DBInstanceIdentifier", false: "DBClusterIdentifier"}[x.kind == snapshotKind], x.of) + el("AllocatedStorage", "20") +
			el("Encrypted", strconv.FormatBool(x.encrypted)) + el("StorageEncrypted", strconv.FormatBool(x.encrypted)) + el("PercentProgress", "50"))
	}
	return el(x.kind, b.String())
}
