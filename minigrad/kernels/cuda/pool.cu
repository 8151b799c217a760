// Pooling, and windows as an array of their own. A thread for each element of a result, which it writes once: the way
// back asks, for an element of x, which windows hold it. No atomic additions, so results are the same in every run.
//
// All arrays are (N, C, *spatial) with strides of any order; threads are numbered with the channels fastest.

// The element that thread `index` computes, over the spatial sizes given: n, c and its coordinates.
template <int D> struct Place {
    int64 n, c, at[D];
};

template <int D> __device__ Place<D> place(int64 index, int64 channels, const int64 (&sizes)[D]) {
    Place<D> p;
    p.c = take_last(index, channels);
    for (int d = D - 1; d >= 0; --d) p.at[d] = take_last(index, sizes[d]);
    p.n = index;
    return p;
}

template <int D> __device__ int64 offset(const Strides<D>& s, const Place<D>& p) {
    int64 sum = p.n * s.n + p.c * s.c;
    for (int d = 0; d < D; ++d) sum += p.at[d] * s.at[d];
    return sum;
}

// The place in x that tap number t of the window at p reads; whether it is inside.
template <int D> __device__ bool read_by(const Window<D>& w, const Place<D>& p, int64 t, Place<D>& in_x) {
    bool inside = true;
    in_x.n = p.n;
    in_x.c = p.c;
    for (int d = D - 1; d >= 0; --d) {
        in_x.at[d] = p.at[d] * w.stride[d] + take_last(t, w.kernel[d]) * w.dilation[d] - w.low[d];
        inside = inside && in_x.at[d] >= 0 && in_x.at[d] < w.size[d];
    }
    return inside;
}

// The window that reads the place p of x with its tap number t; whether there is one.
template <int D> __device__ bool reader_of(const Window<D>& w, const Place<D>& p, int64 t, Place<D>& window) {
    window.n = p.n;
    window.c = p.c;
    for (int d = D - 1; d >= 0; --d) {
        const int64 from = p.at[d] + w.low[d] - take_last(t, w.kernel[d]) * w.dilation[d];
        window.at[d] = from / w.stride[d];
        if (from < 0 || from % w.stride[d] || window.at[d] >= w.out[d]) return false;
    }
    return true;
}

template <int D> struct Pool {
    int64 batch, channels;
    Window<D> window;
    Strides<D> x, y, tap;  // x: the array under the windows; y and tap: what has one element for each window
};

// The largest (or smallest) element of each window and the tap that holds it: the first of several, nan before all.
// Without memory for the taps, only the elements.
template <class T, bool LARGEST, class Tap, int D>
__global__ void extreme(const T* __restrict__ x, T* __restrict__ y, Tap* __restrict__ tap, Pool<D> f) {
    const int64 taps = volume(f.window.kernel);
    FOR_EACH(i, f.batch * f.channels * volume(f.window.out)) {
        const Place<D> p = place(i, f.channels, f.window.out);
        Place<D> at;
        int64 winner = -1;
        T best{};
        for (int64 t = 0; t < taps; ++t) {
            if (!read_by(f.window, p, t, at)) continue;
            const T candidate = x[offset(f.x, at)];
            const typename Sum<T>::type v = widen(candidate), b = widen(best);
            const bool better = LARGEST ? below(b, v) : below(v, b);
            if (winner < 0 || (b == b && (better || v != v))) {
                best = candidate;
                winner = t;
            }
        }
        put(y + offset(f.y, p), best);
        if (tap) put(tap + offset(f.tap, p), (Tap)winner);
    }
}

// From each window of x, the element at its tap.
template <class T, class Tap, int D>
__global__ void gather(const T* __restrict__ x, const Tap* __restrict__ tap, T* __restrict__ y, Pool<D> f) {
    FOR_EACH(i, f.batch * f.channels * volume(f.window.out)) {
        const Place<D> p = place(i, f.channels, f.window.out);
        Place<D> at;
        const bool inside = read_by(f.window, p, (int64)tap[offset(f.tap, p)], at);
        put(y + offset(f.y, p), inside ? x[offset(f.x, at)] : T{});
    }
}

// Its adjoint: each element of x sums what the windows that chose it have in y.
template <class T, class Tap, int D>
__global__ void scatter(const T* __restrict__ y, const Tap* __restrict__ tap, T* __restrict__ x, Pool<D> f) {
    const int64 taps = volume(f.window.kernel);
    FOR_EACH(i, f.batch * f.channels * volume(f.window.size)) {
        const Place<D> p = place(i, f.channels, f.window.size);
        Place<D> at;
        typename Sum<T>::type total = 0;
        for (int64 t = 0; t < taps; ++t)
            if (reader_of(f.window, p, t, at) && tap[offset(f.tap, at)] == (Tap)t) total += load(y + offset(f.y, at));
        store(x + offset(f.x, p), total);
    }
}

// By what the sum of the window at p is multiplied: `scales` has a number for each position, or is null and `scale` is it.
template <class S, int D> __device__ S scale_of(const S* scales, S scale, const Window<D>& w, const Place<D>& p) {
    if (!scales) return scale;
    int64 position = 0;
    for (int d = 0; d < D; ++d) position = position * w.out[d] + p.at[d];
    return scales[position];
}

// The sum of each window, scaled before it is rounded to T.
template <class T, int D>
__global__ void window_sum(const T* __restrict__ x, T* __restrict__ y, const typename Sum<T>::type* __restrict__ scales,
                           typename Sum<T>::type scale, Pool<D> f) {
    const int64 taps = volume(f.window.kernel);
    FOR_EACH(i, f.batch * f.channels * volume(f.window.out)) {
        const Place<D> p = place(i, f.channels, f.window.out);
        Place<D> at;
        typename Sum<T>::type total = 0;
        for (int64 t = 0; t < taps; ++t)
            if (read_by(f.window, p, t, at)) total += load(x + offset(f.x, at));
        store(y + offset(f.y, p), total * scale_of(scales, scale, f.window, p));
    }
}

// Its adjoint: each element of x sums what the windows that hold it have in y, scaled.
template <class T, int D>
__global__ void window_spread(const T* __restrict__ y, T* __restrict__ x, const typename Sum<T>::type* __restrict__ scales,
                              typename Sum<T>::type scale, Pool<D> f) {
    const int64 taps = volume(f.window.kernel);
    FOR_EACH(i, f.batch * f.channels * volume(f.window.size)) {
        const Place<D> p = place(i, f.channels, f.window.size);
        Place<D> at;
        typename Sum<T>::type total = 0;
        for (int64 t = 0; t < taps; ++t)
            if (reader_of(f.window, p, t, at))
                total += load(y + offset(f.y, at)) * scale_of(scales, scale, f.window, at);
        store(x + offset(f.x, p), total);
    }
}

// Every window written out: columns (*out, N, C, taps), contiguous.
template <class T, int D> __global__ void unfold(const T* __restrict__ x, T* __restrict__ columns, Pool<D> f) {
    const int64 taps = volume(f.window.kernel), windows = f.batch * f.channels * volume(f.window.out);
    FOR_EACH(i, windows * taps) {
        int64 index = i;
        const int64 t = take_last(index, taps);
        const Place<D> p = place(index, f.channels, f.window.out);
        Place<D> at;
        put(columns + offset(f.y, p) + t, read_by(f.window, p, t, at) ? x[offset(f.x, at)] : T{});
    }
}

// Its adjoint: each element of x sums the places of the columns that were read from it.
template <class T, int D> __global__ void fold(const T* __restrict__ columns, T* __restrict__ x, Pool<D> f) {
    const int64 taps = volume(f.window.kernel);
    FOR_EACH(i, f.batch * f.channels * volume(f.window.size)) {
        const Place<D> p = place(i, f.channels, f.window.size);
        Place<D> at;
        typename Sum<T>::type total = 0;
        for (int64 t = 0; t < taps; ++t)
            if (reader_of(f.window, p, t, at)) total += load(columns + offset(f.y, at) + t);
        store(x + offset(f.x, p), total);
    }
}
