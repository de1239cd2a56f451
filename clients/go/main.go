// Command ask asks about files and prints the answer as it comes:
//
//	ask "What is said?" recording.ogg
//
// A server that wants a key gets the one in SENSORIUM_API_KEY.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/local"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	gatewayv1 "sensorium.internal/gen/go/sensorium/gateway/v1"
	mediav1 "sensorium.internal/gen/go/sensorium/media/v1"
)

const (
	turnID     = "turn"
	chunkBytes = 64 << 10
)

// What is sent, and what comes back.
type (
	request    = gatewayv1.StreamingConverseRequest
	config     = gatewayv1.StreamingConverseRequest_Config
	text       = gatewayv1.StreamingConverseRequest_Text
	assetStart = gatewayv1.StreamingConverseRequest_AssetStart
	chunk      = gatewayv1.StreamingConverseRequest_Chunk
	finish     = gatewayv1.StreamingConverseRequest_AssetFinish
	endTurn    = gatewayv1.StreamingConverseRequest_EndTurn
	cancelTurn = gatewayv1.StreamingConverseRequest_CancelTurn

	token        = gatewayv1.StreamingConverseResponse_Token
	citation     = gatewayv1.StreamingConverseResponse_Citation
	turnComplete = gatewayv1.StreamingConverseResponse_TurnComplete
	itemError    = gatewayv1.StreamingConverseResponse_ItemError
	streamError  = gatewayv1.StreamingConverseResponse_Error
)

func main() {
	server := flag.String("server", "127.0.0.1:50051", "`host:port` of the gateway")
	useTLS := flag.Bool("tls", false, "use TLS to this machine, too; to others it always is")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: ask [flags] QUESTION [FILE ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*server, *useTLS, flag.Arg(0), flag.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, explain(err))
		os.Exit(1)
	}
}

// run connects and asks. The first Ctrl-C cancels the turn; a second one ends the program.
func run(server string, useTLS bool, question string, paths []string) error {
	connection, err := grpc.Dial(server, grpc.WithTransportCredentials(transport(server, useTLS)))
	if err != nil {
		return err
	}
	defer connection.Close()
	interrupt, restore := signal.NotifyContext(context.Background(), os.Interrupt)
	go func() {
		<-interrupt.Done()
		restore()
	}()
	client := gatewayv1.NewGatewayServiceClient(connection)
	return ask(client, question, paths, interrupt.Done())
}

// transport is plain to this machine only, so that no key travels in the clear.
func transport(server string, useTLS bool) credentials.TransportCredentials {
	host, _, _ := net.SplitHostPort(server)
	address := net.ParseIP(host)
	if !useTLS && (host == "localhost" || address != nil && address.IsLoopback()) {
		return local.NewCredentials()
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
}

// ask holds a conversation of one turn. It sends and reads at the same time: the server
// reads the first bytes while the last are still on their way.
func ask(
	client gatewayv1.GatewayServiceClient,
	question string,
	paths []string,
	interrupted <-chan struct{},
) error {
	ctx, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	if key := os.Getenv("SENSORIUM_API_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	stream, err := client.StreamingConverse(ctx)
	if err != nil {
		return err
	}
	turn := &turn{stream: stream, interrupted: interrupted, over: make(chan struct{})}
	for _, path := range paths {
		turn.assets = append(turn.assets, asset{newAssetID(), path})
	}
	unreadable := make(chan error, 1)
	go func() {
		if err := turn.send(question); err != nil {
			unreadable <- err
			hangUp()
		}
	}()
	err = turn.show()
	select {
	case cause := <-unreadable:
		return cause
	default:
		return err
	}
}

// turn is one question with its files, and the answer.
type turn struct {
	stream      gatewayv1.GatewayService_StreamingConverseClient
	assets      []asset
	interrupted <-chan struct{} // closed by Ctrl-C
	over        chan struct{}   // closed when the server is done with the turn
}

// asset is a file under the id that the server knows it by.
type asset struct{ id, path string }

// send sends the question first, so that the server knows what to look for in the files, and
// keeps the stream open for as long as the turn may have to be cancelled. Its errors are
// those of the files: a Send that fails tells only io.EOF, and Recv tells why.
func (t *turn) send(question string) error {
	defer t.stream.CloseSend()
	t.stream.Send(&request{Message: &config{Config: &gatewayv1.ConverseConfig{}}})
	t.say(&request{Message: &text{Text: &gatewayv1.TextChunk{Text: question}}})
	for _, asset := range t.assets {
		if err := t.sendFile(asset); err != nil {
			return err
		}
	}
	if !t.stopped() {
		t.say(&request{Message: &endTurn{EndTurn: &gatewayv1.EndTurn{}}})
	}
	select {
	case <-t.over:
	case <-t.interrupted:
		t.say(&request{Message: &cancelTurn{CancelTurn: &gatewayv1.CancelTurn{}}})
	}
	return nil
}

// sendFile reads a file no faster than the server takes it: Send waits.
func (t *turn) sendFile(asset asset) error {
	file, err := os.Open(asset.path)
	if err != nil {
		return err
	}
	defer file.Close()
	start := &mediav1.AssetStart{AssetId: asset.id, Name: filepath.Base(asset.path)}
	t.say(&request{Message: &assetStart{AssetStart: start}})

	hash, data, offset := sha256.New(), make([]byte, chunkBytes), uint64(0)
	for {
		count, err := file.Read(data)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if t.stopped() {
			return nil
		}
		hash.Write(data[:count])
		next := &mediav1.MediaChunk{AssetId: asset.id, Offset: offset, Data: data[:count]}
		t.say(&request{Message: &chunk{Chunk: next}})
		offset += uint64(count)
	}
	end := &mediav1.AssetFinish{
		AssetId: asset.id, SizeBytes: offset, Sha256: hex.EncodeToString(hash.Sum(nil)),
	}
	t.say(&request{Message: &finish{AssetFinish: end}})
	return nil
}

func (t *turn) say(message *request) {
	message.TurnId = turnID
	t.stream.Send(message)
}

// stopped tells whether the rest of the turn need not be sent.
func (t *turn) stopped() bool {
	select {
	case <-t.over:
		return true
	case <-t.interrupted:
		return true
	default:
		return false
	}
}

// show prints the answer, and below it what it rests on.
func (t *turn) show() error {
	over := false
	end := func() {
		if !over {
			close(t.over)
		}
		over = true
	}
	defer end()
	for {
		response, err := t.stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch event := response.Event.(type) {
		case *token:
			fmt.Print(event.Token.Text)
		case *citation:
			fmt.Print("\n  ", footnote(event.Citation.Evidence))
		case *itemError:
			fmt.Fprintln(os.Stderr, t.refusal(event.ItemError.Error))
		case *streamError:
			return t.refusal(event.Error)
		case *turnComplete:
			fmt.Println()
			if event.TurnComplete.FinishReason == gatewayv1.TurnFinishReason_TURN_FINISH_REASON_CANCELLED {
				fmt.Fprintln(os.Stderr, "cancelled")
			}
			end()
		}
	}
}

// footnote is a citation as "[1] film.mp4, 0:04.5 to 0:06.0, 320×200 px at 10,20: a rabbit".
func footnote(cited *mediav1.WeightedEvidence) string {
	evidence := cited.Evidence
	places := []string{evidence.AssetName}
	if span := evidence.Locator.GetSpan(); span != nil {
		start, end := clock(span.Start.AsDuration()), clock(span.End.AsDuration())
		if end != start {
			start += " to " + end
		}
		places = append(places, start)
	}
	if region := evidence.Locator.GetRegion(); region != nil {
		places = append(places, fmt.Sprintf(
			"%d×%d px at %d,%d", region.WidthPx, region.HeightPx, region.LeftPx, region.TopPx))
	}
	if chars := evidence.Locator.GetChars(); chars != nil {
		places = append(places, fmt.Sprintf("characters %d to %d", chars.Start, chars.End))
	}
	return fmt.Sprintf("[%s] %s: %s", cited.CitationKey, strings.Join(places, ", "), evidence.Text)
}

func clock(offset time.Duration) string {
	tenths := offset.Round(100*time.Millisecond).Milliseconds() / 100
	return fmt.Sprintf("%d:%02d.%d", tenths/600, tenths/10%60, tenths%10)
}

// refusal is an error as the server tells it.
type refusal struct {
	reason     string // UPPER_SNAKE_CASE and stable, for programs
	message    string // for a person
	subject    string // the field, asset or file at fault; may be empty
	retryAfter time.Duration
}

func (r *refusal) Error() string {
	told := r.reason + ": " + r.message
	if r.subject != "" {
		told += " (" + r.subject + ")"
	}
	if r.retryAfter > 0 {
		told += fmt.Sprintf(" Try again in %v.", r.retryAfter)
	}
	return told
}

func (t *turn) refusal(event *mediav1.StreamError) *refusal {
	subject := event.Subject
	for _, asset := range t.assets {
		if asset.id == subject {
			subject = asset.path
		}
	}
	return &refusal{event.Reason, event.Message, subject, event.RetryDelay.AsDuration()}
}

// explain puts an error into a line: what the status of a call says of it where it is one.
func explain(err error) string {
	var known *refusal
	state, isStatus := status.FromError(err)
	if errors.As(err, &known) || !isStatus {
		return err.Error()
	}
	known = &refusal{reason: state.Code().String(), message: state.Message()}
	if state.Code() == codes.Unavailable {
		known.message = "The server cannot be reached."
	}
	for _, detail := range state.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			known.reason, known.message = detail.Reason, state.Message()
			known.subject = detail.Metadata["subject"]
		case *errdetails.RetryInfo:
			known.retryAfter = detail.RetryDelay.AsDuration()
		}
	}
	return known.Error()
}

func newAssetID() string {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		panic(err)
	}
	return hex.EncodeToString(id)
}
