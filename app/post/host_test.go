package post

import (
	"context"
	"fmt"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/apptest"
)

// A fixture is the application on maple, with a post that the test writes.
type fixture struct {
	*apptest.Host
	post *writtenPost
}

// writtenPost has the letters that a test wants, as the twin has those of one application
// alone.
type writtenPost struct {
	kith.Post
	letters []kith.LetterStatus // the newest first
	custody []kith.Custody
	lost    []kith.LostLetter
}

func (w *writtenPost) Letter(_ context.Context, id kith.LetterID) (kith.LetterStatus, error) {
	for _, l := range w.letters {
		if l.ID == id {
			return l, nil
		}
	}
	return kith.LetterStatus{}, fmt.Errorf("letter %s: %w", id, kith.NotFound)
}

func (w *writtenPost) Letters(_ context.Context, app string, limit int) ([]kith.LetterStatus, error) {
	var list []kith.LetterStatus
	for _, l := range w.letters {
		if (app == "" || l.App == app) && len(list) < limit {
			list = append(list, l)
		}
	}
	return list, nil
}

func (w *writtenPost) Custody() []kith.Custody { return w.custody }

func (w *writtenPost) Lost(context.Context) ([]kith.LostLetter, error) { return w.lost, nil }

// postHost is the host with the written post.
type postHost struct {
	kith.Host
	post kith.Post
}

func (h postHost) Post() kith.Post { return h.post }

func start(t *testing.T) *fixture {
	t.Helper()
	f := new(fixture)
	app := App()
	app.New = func(host kith.Host) (kith.Service, error) { // as App's, with another post
		f.post = &writtenPost{Post: host.Post()}
		return newPost(postHost{host, f.post}).service(), nil
	}
	f.Host = apptest.NewHost(t, app)
	f.Serve(t)
	return f
}

// add has the host send a letter, n hours ago; what is zero in s is as in any letter.
func (f *fixture) add(n byte, s kith.LetterStatus) kith.LetterStatus {
	s.ID, s.From, s.Payload.Size = kith.LetterID{n, 1, n}, f.ID(), int64(n)*1000+200
	if s.App == "" {
		s.App = "mail"
	}
	s.Sent = time.Now().Add(-time.Duration(n) * time.Hour)
	s.Expires = s.Sent.Add(kith.LetterExpiry)
	if s.Since.IsZero() {
		s.Since = s.Sent.Add(10 * time.Minute)
	}
	f.post.letters = append(f.post.letters, s)
	return s
}

// household has letters in every state.
func (f *fixture) household() (birch, elm kith.ID) {
	birch, elm, fir := f.Admit("birch", false), f.Admit("elm", true), f.Admit("fir", true)
	f.add(1, kith.LetterStatus{Letter: kith.Letter{To: birch}, State: kith.LetterQueued})
	f.add(2, kith.LetterStatus{Letter: kith.Letter{To: birch}, State: kith.LetterHeld, Held: []kith.ID{fir, elm}})
	f.add(3, kith.LetterStatus{Letter: kith.Letter{To: elm}, State: kith.LetterDelivered})
	f.add(4, kith.LetterStatus{Letter: kith.Letter{To: elm}, State: kith.LetterRefused, Reason: "nobody here is called \x1bbob"})
	f.add(5, kith.LetterStatus{Letter: kith.Letter{To: kith.ID{99}, App: "chat"}, State: kith.LetterExpired, Reason: "No receipt came in time."})
	f.add(30, kith.LetterStatus{Letter: kith.Letter{To: elm}, State: kith.LetterDelivered})
	f.post.custody = []kith.Custody{{From: birch, Letters: 12, Bytes: 3 << 20}, {From: elm, Letters: 1, Bytes: 4 << 10}}
	return birch, elm
}
