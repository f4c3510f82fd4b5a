package share

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

func TestJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJobs()
		if _, err := j.start("early", nil); !errors.Is(err, kith.Temporary) {
			t.Errorf("before Serve: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		served := make(chan struct{})
		go func() {
			j.serve(ctx)
			close(served)
		}()
		after := func(d time.Duration, err error) func(context.Context, string) error {
			return func(ctx context.Context, _ string) error {
				select {
				case <-time.After(d):
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		if over, err := j.start("quick", after(0, nil)); !over || err != nil {
			t.Errorf("a quick one: %v, %v", over, err)
		}
		if over, err := j.start("bad", after(0, kith.Invalid)); !over || !errors.Is(err, kith.Invalid) {
			t.Errorf("a bad one: %v, %v", over, err)
		}
		for title, err := range map[string]error{"long": nil, "fails": kith.Denied, "stopped": nil} {
			if over, err := j.start(title, after(time.Hour, err)); over || err != nil {
				t.Errorf("%s: %v, %v", title, over, err)
			}
		}
		if n := len(j.all()); n != 3 {
			t.Errorf("%d go on", n)
		}
		for _, job := range j.all() {
			if job.Title == "stopped" {
				j.stop(job.Word)
			}
		}
		time.Sleep(2 * time.Hour)
		list := j.all()
		if len(list) != 1 || list[0].Title != "fails" || list[0].Problem != "Not allowed." {
			t.Errorf("what is left: %+v", list)
		}
		for range maxJobs - 1 {
			if over, err := j.start("long", after(time.Hour, nil)); over || err != nil {
				t.Errorf("%v, %v", over, err)
			}
		}
		if _, err := j.start("one more", nil); !errors.Is(err, kith.Quota) {
			t.Errorf("too many: %v", err)
		}
		cancel()
		<-served
		if n := len(j.all()); n != 0 {
			t.Errorf("%d are left after the end", n)
		}
	})
}

// TestJobIsShown has a folder that takes long to read.
func TestJobIsShown(t *testing.T) {
	f := start(t)
	release := make(chan struct{})
	over, err := f.app.jobs.start("Photos", func(ctx context.Context, word string) error {
		progress, end := f.app.work.begin(word)
		defer end()
		progress(1<<20, 4<<20)
		<-release
		return kith.Denied
	})
	if over || err != nil {
		t.Fatal(over, err)
	}
	body := f.page(t, "/share/mine", 200, "Being read", "Photos", "1.0 MiB of 4.0 MiB", "Cancel")
	_, word, _ := strings.Cut(body, `action="/share/jobs/`)
	word, _, _ = strings.Cut(word, `"`)
	job := f.app.jobs.all()[0]
	close(release)
	<-job.done
	f.page(t, "/share/mine", 200, "Not allowed.", "Dismiss")
	f.press(t, "/share/jobs/"+word, map[string][]string{})
	if n := len(f.app.jobs.all()); n != 0 {
		t.Errorf("%d are left", n)
	}
}
