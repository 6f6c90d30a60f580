// Waiting for a descriptor: poll(2) on the spot, or a callback from the event loop, once or as often as it is readable.
#include "addon.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

namespace zcrx {
namespace {

// Returns revents, 0 when the time is over or a signal came. fd -1 sleeps. Microseconds matter to a stack's timers, so
// ppoll, not poll.
Napi::Value Poll(const Napi::CallbackInfo& info) {
  pollfd entry = {};
  entry.fd = static_cast<int>(Integer(info, 0, "fd", -1, 2147483647.0));
  entry.events = static_cast<int16_t>(Integer(info, 1, "events", 0, 32767));
  if (info.Length() < 3 || !info[2].IsNumber()) Wrong(info, "timeoutMs", "a number");
  const double ms = info[2].As<Napi::Number>().DoubleValue();
  if (std::isnan(ms)) Wrong(info, "timeoutMs", "a number");
  timespec timeout = {};
  const bool forever = ms >= 1e12;
  if (ms > 0 && !forever) {
    timeout.tv_sec = static_cast<time_t>(ms / 1000);
    timeout.tv_nsec = static_cast<long>((ms - static_cast<double>(timeout.tv_sec) * 1000) * 1e6);
  }
  const int ready = ppoll(&entry, 1, forever ? nullptr : &timeout, nullptr);
  if (ready < 0 && errno != EINTR) return Result(info.Env(), -1);
  return Result(info.Env(), ready > 0 ? entry.revents : 0);
}

constexpr uint64_t kLongestPauseMs = 1000;

}  // namespace

// One watched descriptor. The handles of libuv outlive the JavaScript object: libuv gives them back only after a turn of
// the loop. What is watched is a duplicate, because libuv aborts when a descriptor that it watches is closed.
struct Watching {
  uv_poll_t poll;
  // Runs while an error that nobody has taken away keeps the descriptor from being watched.
  uv_timer_t pause;
  int fd = -1;         // the duplicate
  int original = -1;
  Watching** owner = nullptr;  // the pointer of the JavaScript object; cleared when this closes before it
  Environment* environment = nullptr;
  napi_env env = nullptr;
  napi_async_context context = nullptr;
  napi_ref callback = nullptr;
  napi_async_cleanup_hook_handle hook = nullptr;
  uint64_t pauseMs = 0;
  int handles = 2;
  bool closing = false;
  bool repeat = false;

  void Forget() {
    if (callback != nullptr) napi_delete_reference(env, callback);
    callback = nullptr;
  }

  int Begin() {
    return uv_poll_start(&poll, UV_READABLE, [](uv_poll_t* handle, int status, int) {
      static_cast<Watching*>(handle->data)->Fire(status < 0);
    });
  }

  void Stop() {
    uv_poll_stop(&poll);
    uv_timer_stop(&pause);
    Forget();
  }

  void Close() {
    if (closing) return;
    closing = true;
    *owner = nullptr;
    environment->watchings.erase(this);
    Stop();
    napi_async_destroy(env, context);
    const uv_close_cb closed = [](uv_handle_t* handle) {
      Watching* self = static_cast<Watching*>(handle->data);
      if (--self->handles > 0) return;
      napi_remove_async_cleanup_hook(self->hook);
      delete self;
    };
    uv_close(reinterpret_cast<uv_handle_t*>(&poll), closed);
    uv_close(reinterpret_cast<uv_handle_t*>(&pause), closed);
    ::close(fd);
  }

  void Fire(bool failed) {
    // Stopping and starting again costs system calls: who goes on listening says so.
    if (!repeat) uv_poll_stop(&poll);
    if (!failed) pauseMs = 0;
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    napi_value function = nullptr, receiver = nullptr, argument = nullptr, result;
    napi_get_reference_value(env, callback, &function);
    if (!repeat) Forget();
    napi_get_global(env, &receiver);
    napi_get_boolean(env, failed, &argument);
    // An exception in the callback is the program's: it ends up as uncaughtException. An environment that is being
    // terminated calls nothing, and has no exception.
    if (napi_make_callback(env, context, receiver, function, 1, &argument, &result) == napi_pending_exception) {
      napi_value error = nullptr;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
    }
    napi_close_handle_scope(env, scope);
    if (failed) Resume();
  }

  // libuv stops a handle whose descriptor has an error (uv__poll_io). It is watched again at once when who was called has
  // taken the error away, else after a while, and after a longer one each time.
  void Resume() {
    if (closing || callback == nullptr || uv_is_active(reinterpret_cast<uv_handle_t*>(&poll)) != 0) return;
    pollfd entry = {};
    entry.fd = fd;
    entry.events = POLLIN;
    if (::poll(&entry, 1, 0) >= 0 && (entry.revents & (POLLERR | POLLNVAL)) == 0) {
      Begin();
      return;
    }
    pauseMs = pauseMs == 0 ? 1 : pauseMs * 2 < kLongestPauseMs ? pauseMs * 2 : kLongestPauseMs;
    uv_timer_start(&pause, [](uv_timer_t* handle) { static_cast<Watching*>(handle->data)->Begin(); }, pauseMs, 0);
  }
};

// Those of a descriptor that is about to be closed: it is not open for longer than its owner says.
void CloseWatchings(Environment& environment, int original) {
  for (auto next = environment.watchings.begin(); next != environment.watchings.end();) {
    Watching* watching = *next++;
    if (watching->original == original) watching->Close();
  }
}

namespace {

class Watcher : public Napi::ObjectWrap<Watcher> {
 public:
  static void Define(Napi::Env env, Napi::Object exports) {
    exports.Set("Watcher", DefineClass(env, "Watcher",
                                       {InstanceMethod("start", &Watcher::Start), InstanceMethod("stop", &Watcher::Stop),
                                        InstanceMethod("unref", &Watcher::Unref), InstanceMethod("ref", &Watcher::Ref),
                                        InstanceMethod("close", &Watcher::Close)}));
  }

  explicit Watcher(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Watcher>(info) {
    const int original = Fd(info, 0);
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(info.Env(), &loop);
    const int fd = fcntl(original, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 && errno != EBADF) throw Napi::Error::New(info.Env(), "no descriptor is left to watch one with");
    Watching* watching = new Watching();
    if (fd < 0 || uv_poll_init(loop, &watching->poll, fd) < 0) {
      delete watching;
      if (fd >= 0) ::close(fd);
      throw Napi::TypeError::New(info.Env(), "fd can't be watched");
    }
    uv_timer_init(loop, &watching->pause);
    watching->poll.data = watching->pause.data = watching;
    watching->fd = fd;
    watching->original = original;
    watching->env = info.Env();
    watching->environment = &Of(info.Env());
    watching->environment->watchings.insert(watching);
    watching->owner = &watching_;
    watching_ = watching;
    napi_value name = nullptr;
    napi_create_string_utf8(info.Env(), "ZCRX_WATCHER", NAPI_AUTO_LENGTH, &name);
    napi_async_init(info.Env(), nullptr, name, &watching->context);
    // At the end of a worker thread the loop has to let go of the handles before it is destroyed.
    napi_add_async_cleanup_hook(
        info.Env(), [](napi_async_cleanup_hook_handle, void* data) { static_cast<Watching*>(data)->Close(); }, watching,
        &watching->hook);
  }

  // Runs in a finalizer, which may not touch JavaScript. Not armed at this point: an armed one keeps its callback, and
  // through it whoever owns this object.
  ~Watcher() override {
    if (watching_ != nullptr) watching_->Close();
  }

 private:
  Watching* watching_ = nullptr;

  Napi::Value Start(const Napi::CallbackInfo& info) {
    if (info.Length() < 1 || !info[0].IsFunction()) Wrong(info, "callback", "a function");
    const bool repeat = Flag(info, 1, "repeat");
    if (watching_ == nullptr) return Napi::Number::New(info.Env(), -EBADF);
    watching_->Forget();
    watching_->repeat = repeat;
    if (napi_create_reference(info.Env(), info[0], 1, &watching_->callback) != napi_ok) {
      watching_->Stop();
      return Napi::Number::New(info.Env(), -ECANCELED);
    }
    uv_timer_stop(&watching_->pause);
    return Napi::Number::New(info.Env(), watching_->Begin());
  }

  Napi::Value Stop(const Napi::CallbackInfo& info) {
    if (watching_ != nullptr) watching_->Stop();
    return info.Env().Undefined();
  }

  Napi::Value Ref(const Napi::CallbackInfo& info) {
    if (watching_ != nullptr) {
      uv_ref(reinterpret_cast<uv_handle_t*>(&watching_->poll));
      uv_ref(reinterpret_cast<uv_handle_t*>(&watching_->pause));
    }
    return info.Env().Undefined();
  }

  Napi::Value Unref(const Napi::CallbackInfo& info) {
    if (watching_ != nullptr) {
      uv_unref(reinterpret_cast<uv_handle_t*>(&watching_->poll));
      uv_unref(reinterpret_cast<uv_handle_t*>(&watching_->pause));
    }
    return info.Env().Undefined();
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (watching_ != nullptr) watching_->Close();
    return info.Env().Undefined();
  }
};

}  // namespace

void InitPoll(Napi::Env env, Napi::Object exports) {
  exports.Set("poll", Napi::Function::New(env, Poll, "poll"));
  Watcher::Define(env, exports);
}

}  // namespace zcrx
