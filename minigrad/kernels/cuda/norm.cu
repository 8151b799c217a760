// Normalisation: batch norm and local response norm, on rows of pixels (pixels, channels).
//
// What is summed over all pixels is cut into shares, one for each block, and the shares are put together in a fixed
// order: no atomic additions, so results are the same in every run.

const int THREADS = 256;
const int LANES = 32;              // neighbouring channels that a block reads together
const int ROWS = THREADS / LANES;  // pixels that it reads at once

// The pixels of one share.
struct Share {
    int64 low, high;
};

__device__ __forceinline__ Share share_of(int64 pixels, int share, int shares) {
    return Share{pixels * share / shares, pixels * (share + 1) / shares};
}

// Numbers of mean `mean`: how many, and the sum of the squares of their distances from it.
template <class S> struct Moments {
    S count, mean, spread;
};

// Both sets of numbers together (Chan, Golub and LeVeque 1983): nothing is lost where the means lie far from 0.
template <class S> __device__ __forceinline__ Moments<S> together(Moments<S> a, Moments<S> b) {
    const S count = a.count + b.count;
    if (count == 0) return a;
    const S away = b.mean - a.mean;
    return Moments<S>{count, a.mean + away * (b.count / count),
                      a.spread + b.spread + away * away * (a.count * b.count / count)};
}

// For each channel and share: the mean, and the sum of the squares of the distances from it.
template <class T>
__global__ void __launch_bounds__(THREADS)
moments(const T* __restrict__ x, typename Sum<T>::type* __restrict__ means, typename Sum<T>::type* __restrict__ spreads,
        int64 pixels, int64 channels, int shares) {
    typedef typename Sum<T>::type S;
    __shared__ S count[THREADS], mean[THREADS], spread[THREADS];
    const int t = threadIdx.x;
    const int64 c = (int64)blockIdx.x * LANES + t % LANES;
    const Share share = share_of(pixels, blockIdx.y, shares);
    Moments<S> own{0, 0, 0};
    if (c < channels)
        for (int64 p = share.low + t / LANES; p < share.high; p += ROWS)
            own = together(own, Moments<S>{1, load(x + p * channels + c), 0});
    count[t] = own.count;
    mean[t] = own.mean;
    spread[t] = own.spread;
    for (int rows = ROWS / 2; rows > 0; rows /= 2) {
        __syncthreads();
        if (t < rows * LANES) {
            const int u = t + rows * LANES;
            own = together(own, Moments<S>{count[u], mean[u], spread[u]});
            count[t] = own.count;
            mean[t] = own.mean;
            spread[t] = own.spread;
        }
    }
    if (t < LANES && c < channels) {
        put(means + blockIdx.y * channels + c, own.mean);
        put(spreads + blockIdx.y * channels + c, own.spread);
    }
}

// The shares of `moments` together: the mean and the variance of each channel.
template <class T>
__global__ void merge_moments(const typename Sum<T>::type* __restrict__ means,
                              const typename Sum<T>::type* __restrict__ spreads, typename Sum<T>::type* __restrict__ mean,
                              typename Sum<T>::type* __restrict__ var, int64 pixels, int64 channels, int shares) {
    typedef typename Sum<T>::type S;
    const int64 c = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    Moments<S> all{0, 0, 0};
    for (int i = 0; i < shares; ++i) {
        const Share share = share_of(pixels, i, shares);
        all = together(all, Moments<S>{(S)(share.high - share.low), means[i * channels + c], spreads[i * channels + c]});
    }
    put(mean + c, all.mean);
    put(var + c, all.spread / (S)pixels);
}

// y = x * scale + shift (+ residual), and max(0, .) if asked for; nan stays nan.
template <class T>
__global__ void affine(const T* __restrict__ x, const typename Sum<T>::type* __restrict__ scale,
                       const typename Sum<T>::type* __restrict__ shift, const T* __restrict__ residual,
                       T* __restrict__ y, int64 size, int64 channels, int relu) {
    FOR_EACH(i, size) {
        const int64 c = i % channels;
        typename Sum<T>::type v = load(x + i) * scale[c] + shift[c];
        if (residual) v += load(residual + i);
        store(y + i, relu && v < 0 ? (typename Sum<T>::type)0 : v);
    }
}

// The gradient that passed a relu whose result is `out`; all of it without one.
template <class T>
__device__ __forceinline__ typename Sum<T>::type passed(const T* g, const T* out, int64 i) {
    return out && load(out + i) <= 0 ? (typename Sum<T>::type)0 : load(g + i);
}

// For each channel and share: the sums of g and of g * (x - mean).
template <class T>
__global__ void __launch_bounds__(THREADS)
norm_sums(const T* __restrict__ g, const T* __restrict__ x, const T* __restrict__ out,
          const typename Sum<T>::type* __restrict__ mean, typename Sum<T>::type* __restrict__ sums,
          typename Sum<T>::type* __restrict__ products, int64 pixels, int64 channels, int shares) {
    typedef typename Sum<T>::type S;
    __shared__ S sum[THREADS], product[THREADS];
    const int t = threadIdx.x;
    const int64 c = (int64)blockIdx.x * LANES + t % LANES;
    const Share share = share_of(pixels, blockIdx.y, shares);
    S s = 0, q = 0;
    if (c < channels)
        for (int64 p = share.low + t / LANES; p < share.high; p += ROWS) {
            const int64 i = p * channels + c;
            const S v = passed(g, out, i);
            s += v;
            q += v * (load(x + i) - mean[c]);
        }
    sum[t] = s;
    product[t] = q;
    for (int rows = ROWS / 2; rows > 0; rows /= 2) {
        __syncthreads();
        if (t < rows * LANES) {
            sum[t] += sum[t + rows * LANES];
            product[t] += product[t + rows * LANES];
        }
    }
    if (t < LANES && c < channels) {
        put(sums + blockIdx.y * channels + c, sum[t]);
        put(products + blockIdx.y * channels + c, product[t]);
    }
}

// dx = (x - mean) * slope + level + g * scale, where g passed the relu.
template <class T>
__global__ void norm_input(const T* __restrict__ g, const T* __restrict__ x, const T* __restrict__ out,
                           const typename Sum<T>::type* __restrict__ mean,
                           const typename Sum<T>::type* __restrict__ slope,
                           const typename Sum<T>::type* __restrict__ level,
                           const typename Sum<T>::type* __restrict__ scale, T* __restrict__ dx, int64 size,
                           int64 channels) {
    FOR_EACH(i, size) {
        const int64 c = i % channels;
        store(dx + i, (load(x + i) - mean[c]) * slope[c] + level[c] + passed(g, out, i) * scale[c]);
    }
}

// ---- local response norm ---------------------------------------------------------------------------------------------

// The constants of k + alpha * (the sum over the channels from c - low to c + high).
template <class S> struct Response {
    int64 size, channels, low, high;
    S alpha, beta, k;
};

// The sum over the channels of the same pixel from c - low to c + high, as far as they are there.
template <class S, class Term> __device__ S window(int64 i, int64 channels, int64 low, int64 high, Term term) {
    const int64 c = i % channels;
    const int64 first = c < low ? -c : -low, last = channels - 1 - c < high ? channels - 1 - c : high;
    S total = 0;
    for (int64 j = first; j <= last; ++j) total += term(i + j);
    return total;
}

template <class T, class S> __device__ S response(const T* x, int64 i, const Response<S>& r) {
    return r.k + r.alpha * window<S>(i, r.channels, r.low, r.high, [=](int64 j) {
        const S v = load(x + j);
        return v * v;
    });
}

// y = x * s^-beta, s being the response of the window.
template <class T> __global__ void lrn(const T* __restrict__ x, T* __restrict__ y, Response<typename Sum<T>::type> r) {
    FOR_EACH(i, r.size)
        store(y + i, load(x + i) * pow(response(x, i, r), -r.beta));
}

// What `lrn_input` needs of each element and its neighbours: s^-beta, and g * x * s^(-beta-1).
template <class T>
__global__ void lrn_terms(const T* __restrict__ g, const T* __restrict__ x, typename Sum<T>::type* __restrict__ powers,
                          typename Sum<T>::type* __restrict__ terms, Response<typename Sum<T>::type> r) {
    typedef typename Sum<T>::type S;
    FOR_EACH(i, r.size) {
        const S s = response(x, i, r), power = pow(s, -r.beta);
        put(powers + i, power);
        put(terms + i, load(g + i) * load(x + i) * power / s);
    }
}

// dx = g * s^-beta - 2 * alpha * beta * x * (the terms of the channels whose windows hold this one).
template <class T>
__global__ void lrn_input(const T* __restrict__ g, const T* __restrict__ x,
                          const typename Sum<T>::type* __restrict__ powers,
                          const typename Sum<T>::type* __restrict__ terms, T* __restrict__ dx,
                          Response<typename Sum<T>::type> r) {
    typedef typename Sum<T>::type S;
    FOR_EACH(i, r.size) {
        const S from = window<S>(i, r.channels, r.high, r.low, [=](int64 j) { return terms[j]; });
        store(dx + i, load(g + i) * powers[i] - 2 * r.alpha * r.beta * load(x + i) * from);
    }
}
