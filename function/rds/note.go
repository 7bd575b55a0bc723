package rds

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// note keeps what was there in tags of the snapshot, for a call that goes on after this one. Only snapshots of one's own can be tagged.
func (r *restoring) note(ctx context.Context) error {
	if r.foreign || r.snap.kind != "" && r.snap.kind != "manual" {
		r.call.Log.WarnContext(ctx, "the snapshot cannot be tagged with what is replaced: a restore that is interrupted needs securityGroupID and forgets the settings of the database "+
			"and the members of a cluster", "snapshot", r.ref.id, "type", r.snap.kind)
		return nil
	}
	others := 0
	for _, t := range r.snap.tags {
		if !strings.HasPrefix(aws.ToString(t.Key), restoreTags) {
			others++
		}
	}
	is := r.was
	is.of = r.id
	words, rest := fit(is.words(), mostTags-others)
	if !lesser(rest) {
		return wrong("%s has %d tags, and a restore notes in some what it replaces: remove those that are not needed; nothing was touched", r.ref, others)
	}
	if len(rest) > 0 {
		r.call.Log.WarnContext(ctx, "the tags of the snapshot have no room for all that is to be known of what is replaced: a restore that is interrupted forgets some", "snapshot", r.ref.id, "forgotten", rest)
	}
	_, err := ask(ctx, r.session, r.client.AddTagsToResource, &rds.AddTagsToResourceInput{ResourceName: &r.snap.arn, Tags: wordTags(restoreTags, r.owner, words)})
	if err != nil {
		return fmt.Errorf("note on %s what is to be replaced: %w; nothing was touched", r.ref, err)
	}
	return nil
}

// recall reads what an earlier attempt has noted.
func (r *restoring) recall() bool {
	owner, words := notedWords(r.snap.tags, restoreTags)
	if owner != r.owner {
		return false
	}
	r.was = readFormer(words)
	return true
}

// unfinished is what another phase has noted that began to replace the database by this snapshot and did not come to the end: where nothing is there, or
// where what is there is what that phase has made so far. Else it is what is there.
func (r *restoring) unfinished(present bool, tags []types.Tag, there former) former {
	owner, words := notedWords(r.snap.tags, restoreTags)
	f := readFormer(words)
	if owner == "" || f.of != r.id || present && tagValue(tags, ownerTag) != owner {
		return there
	}
	return f
}

// forget removes the note. It is of no use any more, and no harm.
func (r *restoring) forget(ctx context.Context) {
	snap, err := r.snapshot(ctx, r.ref)
	if err == nil && snap != nil {
		var keys []string
		for _, t := range snap.tags {
			if strings.HasPrefix(aws.ToString(t.Key), restoreTags) {
				keys = append(keys, aws.ToString(t.Key))
			}
		}
		if len(keys) == 0 {
			return
		}
		_, err = ask(ctx, r.session, r.client.RemoveTagsFromResource, &rds.RemoveTagsFromResourceInput{ResourceName: &snap.arn, TagKeys: keys})
	}
	if err != nil {
		r.call.Log.WarnContext(ctx, "the note of what was replaced stays on the snapshot", "snapshot", r.ref.id, "error", err)
	}
}

// tagsWith are the tags of something that this phase makes anew, with those that it had as far as there is room.
func (s *session) tagsWith(own []types.Tag) []types.Tag {
	all := s.tags()
	for _, t := range own {
		if len(all) < mostTags && tagValue(all, aws.ToString(t.Key)) == "" {
			all = append(all, t)
		}
	}
	return all
}

// sourceWords are the tags of a snapshot that tell how the database was. They take half of the room at most: a restore needs the other half.
func (s *session) sourceWords(ctx context.Context, f former) []types.Tag {
	words, rest := fit(f.words(), (mostTags-len(s.tags()))/2)
	if len(rest) > 0 {
		s.call.Log.WarnContext(ctx, "the tags of the snapshot have no room for all that is to be known of the database once it is gone", "missing", rest)
	}
	return wordTags(sourceTags, s.owner, words)
}
