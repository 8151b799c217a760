// The steps of optimizers: for each formula of nn/optim a kernel of its name, with a thread for each element.
//
// All arrays have the same number of elements in the same order. The parameter p and its gradient g are of type T; what
// is remembered between steps is in the type that T is computed in (float for 16 bits), and null where the options ask
// for none. Numbers, and choices as 1 or 0, come as double, so that 1 - beta is as exact as on the CPU, and are rounded
// once, before the loop.

const int THREADS = 256;

template <class T> using Wide = typename Sum<T>::type;

// Which way is up, with the slope of the penalty weight_decay/2 * p^2 added.
template <class T> struct Slope {
    const T* g;
    Wide<T> weight_decay;
    bool maximize;

    __device__ Wide<T> at(int64 i, Wide<T> p) const {
        const Wide<T> d = maximize ? -load(g + i) : load(g + i);
        return weight_decay ? d + weight_decay * p : d;
    }
};

template <class S> __device__ __forceinline__ S squared(S v) { return v * v; }

// The larger of two, nan before everything, as in NumPy.
template <class S> __device__ __forceinline__ S larger(S a, S b) { return below(a, b) || b != b ? b : a; }

template <class S> __device__ __forceinline__ S sign(S v) {
    const S zero = 0;
    return v != v ? v : (S)((int)below(zero, v) - (int)below(v, zero));
}

// m = beta * m + (1 - beta) * v: a mean that forgets.
template <class S> __device__ __forceinline__ S forgetting(S* m, int64 i, S beta, S rest, S v) {
    const S mean = beta * load(m + i) + rest * v;
    put(m + i, mean);
    return mean;
}

template <class T>
__global__ void sgd(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ v, double lr, double momentum,
                    double dampening, double weight_decay, double nesterov, double maximize, int64 size) {
    typedef Wide<T> S;
    const S rate = lr, keep = momentum, take = 1 - dampening;
    const Slope<T> slope{g, (S)weight_decay, maximize != 0};
    FOR_EACH(i, size) {
        const S w = load(p + i);
        S d = slope.at(i, w);
        if (v) {
            const S velocity = forgetting(v, i, keep, take, d);
            d = nesterov ? d + keep * velocity : velocity;
        }
        store(p + i, w - rate * d);
    }
}

template <class T>
__global__ void caffe_sgd(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ v, double lr,
                          double momentum, double weight_decay, double maximize, int64 size) {
    typedef Wide<T> S;
    const S rate = -lr, keep = momentum;
    const Slope<T> slope{g, (S)weight_decay, maximize != 0};
    FOR_EACH(i, size) {
        const S w = load(p + i);
        store(p + i, w + forgetting(v, i, keep, rate, slope.at(i, w)));
    }
}

template <class T>
__global__ void adam(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ m, Wide<T>* __restrict__ v,
                     Wide<T>* __restrict__ largest, double lr, double beta1, double beta2, double correction1,
                     double correction2, double eps, double weight_decay, double decoupled, double maximize, int64 size) {
    typedef Wide<T> S;
    const S rate = lr / correction1, keep1 = beta1, rest1 = 1 - beta1, keep2 = beta2, rest2 = 1 - beta2;
    const S unbiased2 = correction2, least = eps, shrink = decoupled ? 1 - lr * weight_decay : 1;
    const Slope<T> slope{g, (S)(decoupled ? 0 : weight_decay), maximize != 0};
    FOR_EACH(i, size) {
        const S w = shrink * load(p + i), d = slope.at(i, w);
        const S mean = forgetting(m, i, keep1, rest1, d);
        S square = forgetting(v, i, keep2, rest2, squared(d));
        if (largest) {
            square = larger(load(largest + i), square);
            put(largest + i, square);
        }
        store(p + i, w - rate * mean / (sqrt(square / unbiased2) + least));
    }
}

template <class T>
__global__ void nadam(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ m, Wide<T>* __restrict__ v,
                      double lr, double mu, double next_mu, double product, double beta1, double beta2,
                      double correction2, double eps, double weight_decay, double decoupled, double maximize, int64 size) {
    typedef Wide<T> S;
    const S now = lr * (1 - mu) / (1 - product), next = lr * next_mu / (1 - product * next_mu);
    const S keep1 = beta1, rest1 = 1 - beta1, keep2 = beta2, rest2 = 1 - beta2;
    const S unbiased2 = correction2, least = eps, shrink = decoupled ? 1 - lr * weight_decay : 1;
    const Slope<T> slope{g, (S)(decoupled ? 0 : weight_decay), maximize != 0};
    FOR_EACH(i, size) {
        const S w = shrink * load(p + i), d = slope.at(i, w);
        const S mean = forgetting(m, i, keep1, rest1, d), square = forgetting(v, i, keep2, rest2, squared(d));
        store(p + i, w - (now * d + next * mean) / (sqrt(square / unbiased2) + least));
    }
}

template <class T>
__global__ void rmsprop(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ v,
                        Wide<T>* __restrict__ mean, Wide<T>* __restrict__ buffer, double lr, double alpha, double eps,
                        double weight_decay, double momentum, double maximize, int64 size) {
    typedef Wide<T> S;
    const S rate = lr, keep = alpha, rest = 1 - alpha, least = eps, roll = momentum, zero = 0, one = 1;
    const Slope<T> slope{g, (S)weight_decay, maximize != 0};
    FOR_EACH(i, size) {
        const S w = load(p + i), d = slope.at(i, w);
        S square = forgetting(v, i, keep, rest, squared(d));
        if (mean) square = larger(square - squared(forgetting(mean, i, keep, rest, d)), zero);
        S step = d / (sqrt(square) + least);
        if (buffer) step = forgetting(buffer, i, roll, one, step);
        store(p + i, w - rate * step);
    }
}

template <class T>
__global__ void adagrad(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ total, double lr, double eps,
                        double weight_decay, double maximize, int64 size) {
    typedef Wide<T> S;
    const S rate = lr, least = eps;
    const Slope<T> slope{g, (S)weight_decay, maximize != 0};
    FOR_EACH(i, size) {
        const S w = load(p + i), d = slope.at(i, w), sum = load(total + i) + d * d;
        put(total + i, sum);
        store(p + i, w - rate * d / (sqrt(sum) + least));
    }
}

template <class T>
__global__ void adadelta(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ v, Wide<T>* __restrict__ u,
                         double lr, double rho, double eps, double weight_decay, double maximize, int64 size) {
    typedef Wide<T> S;
    const S rate = lr, keep = rho, rest = 1 - rho, least = eps;
    const Slope<T> slope{g, (S)weight_decay, maximize != 0};
    FOR_EACH(i, size) {
        const S w = load(p + i), d = slope.at(i, w), square = forgetting(v, i, keep, rest, squared(d));
        const S step = sqrt((load(u + i) + least) / (square + least)) * d;
        forgetting(u, i, keep, rest, squared(step));
        store(p + i, w - rate * step);
    }
}

template <class T>
__global__ void lion(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ m, double lr, double beta1,
                     double beta2, double weight_decay, double maximize, int64 size) {
    typedef Wide<T> S;
    const S rate = lr, keep1 = beta1, rest1 = 1 - beta1, keep2 = beta2, rest2 = 1 - beta2;
    const S shrink = 1 - lr * weight_decay;
    const Slope<T> slope{g, 0, maximize != 0};
    FOR_EACH(i, size) {
        const S d = slope.at(i, 0), way = sign(keep1 * load(m + i) + rest1 * d);
        store(p + i, shrink * load(p + i) - rate * way);
        forgetting(m, i, keep2, rest2, d);
    }
}

// ---- steps that are scaled by norms ---------------------------------------------------------------------------------

// Adds up what the threads of a block have, in pairs: a number for each block, in partial (N, blocks).
template <class S, int N> __device__ void sum_of_block(const S (&mine)[N], S* partial) {
    __shared__ S sums[N][THREADS];
    const int thread = threadIdx.x;
#pragma unroll
    for (int n = 0; n < N; ++n) sums[n][thread] = mine[n];
    for (int half = THREADS / 2; half; half /= 2) {
        __syncthreads();
        if (thread < half)
#pragma unroll
            for (int n = 0; n < N; ++n) sums[n][thread] += sums[n][thread + half];
    }
    if (thread == 0)
#pragma unroll
        for (int n = 0; n < N; ++n) put(partial + n * gridDim.x + blockIdx.x, sums[n][0]);
}

// The roots of the sums of partial (N, count): norms (N), with a block for each.
template <class T> __global__ void roots(const Wide<T>* __restrict__ partial, double* __restrict__ norms, int count) {
    __shared__ double sums[THREADS];
    const int thread = threadIdx.x;
    double sum = 0;
    for (int i = thread; i < count; i += THREADS) sum += partial[blockIdx.x * count + i];
    sums[thread] = sum;
    for (int half = THREADS / 2; half; half /= 2) {
        __syncthreads();
        if (thread < half) sums[thread] += sums[thread + half];
    }
    if (thread == 0) put(norms + blockIdx.x, sqrt(sums[0]));
}

template <class T>
__global__ void lars_norms(const T* __restrict__ p, const T* __restrict__ g, int64 size, Wide<T>* __restrict__ partial) {
    Wide<T> sums[2] = {};
    FOR_EACH(i, size) {
        sums[0] += squared(load(p + i));
        sums[1] += squared(load(g + i));
    }
    sum_of_block(sums, partial);
}

template <class T>
__global__ void lars(T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ v,
                     const double* __restrict__ norms, double lr, double momentum, double weight_decay,
                     double trust_coefficient, double maximize, int64 size) {
    typedef Wide<T> S;
    double trust = 1;
    if (norms && norms[0] != 0 && norms[1] != 0)
        trust = trust_coefficient * norms[0] / (norms[1] + weight_decay * norms[0]);
    const S rate = lr * trust, keep = momentum;
    const Slope<T> slope{g, (S)weight_decay, maximize != 0};
    FOR_EACH(i, size) {
        const S w = load(p + i);
        store(p + i, w - forgetting(v, i, keep, rate, slope.at(i, w)));
    }
}

template <class S> struct LambDirection {
    S correction1, correction2, eps, weight_decay;

    __device__ S of(S p, S m, S v) const {
        const S r = m / correction1 / (sqrt(v / correction2) + eps);
        return weight_decay ? r + weight_decay * p : r;
    }
};

template <class T>
__global__ void lamb_norms(const T* __restrict__ p, const T* __restrict__ g, Wide<T>* __restrict__ m,
                           Wide<T>* __restrict__ v, double beta1, double beta2, double correction1, double correction2,
                           double eps, double weight_decay, double maximize, int64 size, Wide<T>* __restrict__ partial) {
    typedef Wide<T> S;
    const S keep1 = beta1, rest1 = 1 - beta1, keep2 = beta2, rest2 = 1 - beta2;
    const LambDirection<S> direction{(S)correction1, (S)correction2, (S)eps, (S)weight_decay};
    const Slope<T> slope{g, 0, maximize != 0};
    S sums[2] = {};
    FOR_EACH(i, size) {
        const S w = load(p + i), d = slope.at(i, w);
        const S mean = forgetting(m, i, keep1, rest1, d), square = forgetting(v, i, keep2, rest2, squared(d));
        sums[0] += squared(w);
        sums[1] += squared(direction.of(w, mean, square));
    }
    sum_of_block(sums, partial);
}

template <class T>
__global__ void lamb(T* __restrict__ p, const Wide<T>* __restrict__ m, const Wide<T>* __restrict__ v,
                     const double* __restrict__ norms, double lr, double correction1, double correction2, double eps,
                     double weight_decay, int64 size) {
    typedef Wide<T> S;
    const S rate = norms && norms[0] != 0 && norms[1] != 0 ? lr * norms[0] / norms[1] : lr;
    const LambDirection<S> direction{(S)correction1, (S)correction2, (S)eps, (S)weight_decay};
    FOR_EACH(i, size) {
        const S w = load(p + i);
        store(p + i, w - rate * direction.of(w, load(m + i), load(v + i)));
    }
}
