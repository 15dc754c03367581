package goroutines_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealbridge/sealbridge/test/harness/goroutines"
)

func TestWhatEndsLateIsWaitedForAndWhatStaysIsSeen(t *testing.T) {
	before := goleak.IgnoreCurrent()
	go time.Sleep(2 * time.Second)
	if err := goroutines.Left(before); err != nil {
		t.Errorf("it ends within two seconds: %v", err)
	}
	stays := make(chan struct{})
	go func() { <-stays }()
	if goroutines.Left(before) == nil {
		t.Error("one that stays is not seen")
	}
	close(stays)
	goroutines.None(t, before)
}
